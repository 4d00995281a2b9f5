-- Under which key-encryption key a data key was made. Whoever had that one and the database had the
-- data key too, so after a rotation it seals nothing new, although it is wrapped anew (kek_id).

ALTER TABLE data_keys ADD COLUMN born_under text;
UPDATE data_keys SET born_under = kek_id;
ALTER TABLE data_keys ALTER COLUMN born_under SET NOT NULL;
