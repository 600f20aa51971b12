-- The pictures of profiles, each in three sizes: made from what was uploaded, which is not kept.

CREATE TABLE profile_images (
    user_id TEXT NOT NULL REFERENCES users (id),
    side INTEGER NOT NULL,                   -- of the square, in pixels: 64, 256, 1024; a picture that is smaller is as it is
    version TEXT NOT NULL,                   -- stands in the picture's address
    hash TEXT NOT NULL,                      -- of data: SHA-256, base64url
    data BLOB NOT NULL,                      -- JPEG
    PRIMARY KEY (user_id, side)
);
