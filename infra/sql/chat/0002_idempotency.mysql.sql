-- What was answered to a request that came with an Idempotency-Key, kept for a day, so that a repeat gets it again.
-- Times are milliseconds since the Unix epoch. For MySQL 8 and MariaDB 10.6 or later.

CREATE TABLE idempotency_keys (
    scope VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,       -- whose key it is: a user's id, or the name of a public route
    key_hash CHAR(43) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,       -- SHA-256, base64url
    fingerprint CHAR(43) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,    -- of the request that it came with first
    answer MEDIUMTEXT,                       -- JSON, or sealed; none only while the change is under way
    created_at BIGINT NOT NULL,
    PRIMARY KEY (scope, key_hash),
    KEY idempotency_keys_by_age (created_at)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ROW_FORMAT = DYNAMIC;
