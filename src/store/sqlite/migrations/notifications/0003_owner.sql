-- Whose a notification is that came over the agent socket: the digest of a secret of the agent. NULL for everything else. A row that direct
-- tooling rebuilds or replaces loses it, and with it the agent its access: better that than access to a row of somebody else.
ALTER TABLE notifications ADD COLUMN owner BLOB;
