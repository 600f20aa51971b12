-- The pictures of profiles, each in three sizes: made from what was uploaded, which is not kept.

CREATE TABLE profile_images (
    user_id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    side INT UNSIGNED NOT NULL,              -- of the square, in pixels: 64, 256, 1024; a picture that is smaller is as it is
    version CHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,        -- stands in the picture's address
    hash CHAR(43) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,           -- of data: SHA-256, base64url
    data MEDIUMBLOB NOT NULL,                -- JPEG
    PRIMARY KEY (user_id, side),
    FOREIGN KEY (user_id) REFERENCES users (id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ROW_FORMAT = DYNAMIC;
