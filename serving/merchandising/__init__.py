"""Business rules, slotting and diversity: what changes a ranked list before it is returned."""
