"""Whether a challenger replaces the champion, and what is registered of it."""
