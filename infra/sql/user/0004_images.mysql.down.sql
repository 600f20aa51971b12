-- Undoes 0004_images: pictures are gone, and profiles without one.
DROP TABLE profile_images;
UPDATE users SET profile_image_url = NULL;
