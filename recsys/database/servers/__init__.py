"""Database servers beside the shop's: which tables lie there, and transactions that span several."""
