-- "Which credentials end soon", asked every minute over all tenants. Few credentials have an end.

CREATE INDEX credentials_expiry ON credentials (expires_at) WHERE expires_at IS NOT NULL;
