-- How far each view has followed the log: moves in the transaction that writes the view. The same
-- file in every service that has views.
CREATE TABLE projections (
    name     text        PRIMARY KEY,
    position bigint      NOT NULL DEFAULT 0,  -- `seq` of the last row of the log that is in the view
    at       timestamptz NOT NULL DEFAULT now()
);
