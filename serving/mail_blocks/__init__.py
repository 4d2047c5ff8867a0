"""Blocks of recommendations in mails: filled when a mail is opened, by addresses that name nobody."""
