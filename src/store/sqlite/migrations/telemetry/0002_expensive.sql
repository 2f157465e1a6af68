-- The most expensive first, by day (days since 1970 in UTC): a question about some days reads the dearest of each, and no more.
CREATE INDEX telemetry_observations_cost
    ON telemetry_observations(start_us / 86400000000, coalesce(provided_cost, computed_cost), start_us)
 WHERE counts = 1 AND coalesce(provided_cost, computed_cost) > 0;
