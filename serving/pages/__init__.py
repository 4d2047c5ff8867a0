"""What the console and the shop front share: templates, assets, headers, forms, charts and one look."""
