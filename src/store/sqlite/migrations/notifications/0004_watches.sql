-- The number of the newest watch of each consumer, out of the same counter as the generations: an older watch that comes back is told so, and
-- cannot take its place again. 0: nobody has watched yet.
ALTER TABLE consumers ADD COLUMN watch INTEGER NOT NULL DEFAULT 0;

-- What a request id asked for, to tell a repetition from another request with the same id. NULL: not known, from before this column.
ALTER TABLE consumers ADD COLUMN request_place TEXT;
ALTER TABLE consumers ADD COLUMN reset_request_place TEXT;
