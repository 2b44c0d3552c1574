"""Who may do what: keys and roles, guards, what browsers may send, the audit log."""
