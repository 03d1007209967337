-- Whose parcel it is: they may see it and follow it. Nobody is known for those that were announced
-- before, nor in a mark.
ALTER TABLE shipments ADD COLUMN customer_id uuid;
