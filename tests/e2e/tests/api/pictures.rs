//! Pictures of profiles.

use plaza_e2e::routes::NOBODY;
use plaza_test_support::{Answer, Person, User, World};

/// Made for the tests of the crate that reads pictures; what is in them is told there.
macro_rules! picture {
    ($name:literal) => {
        include_bytes!(concat!("../../../../libs/picture/tests/pictures/", $name)).as_slice()
    };
}

async fn put(person: &Person, picture: &'static [u8]) -> Answer {
    person.client.put("/api/profile/me/image").body("application/octet-stream", picture).answer().await
}

async fn has(person: &Person, picture: &'static [u8]) -> String {
    put(person, picture).await.ok::<User>(200).profile_image_url.expect("an address")
}

#[tokio::test]
async fn a_picture_is_shown_in_three_sizes_to_whoever_asks() {
    let world = World::shared();
    let (anna, ben) = tokio::join!(world.person("anna"), world.person("ben"));
    let url = has(&anna, picture!("rotated.jpg")).await;
    let seen: User = ben.get(format!("/api/profile/{}", anna.id())).await;
    assert_eq!(seen.profile_image_url.as_ref(), Some(&url));

    let default = world.client().get(&*url).answer().await.is(200);
    for size in ["64", "256", "1024"] {
        let answer = world.client().get(format!("{url}&size={size}")).answer().await.is(200);
        assert_eq!(answer.header("content-type"), "image/jpeg");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("cache-control"), "public, max-age=31536000, immutable");
        assert!(answer.body.starts_with(b"\xff\xd8\xff"), "a JPEG");
        assert!(!answer.body.windows(6).any(|bytes| bytes == b"SECRET"), "no metadata");
        if size == "256" {
            assert_eq!(answer.body, default.body, "what one gets who does not say");
        }
    }
    for size in ["0", "65", "-1", "large", "1024.0", "99999999999"] {
        let answer = world.client().get(format!("{url}&size={size}")).answer().await;
        answer.problem(422, "validation_failed").field("size");
    }
}

#[tokio::test]
async fn who_has_a_picture_already_is_not_sent_it_again() {
    let world = World::shared();
    let anna = world.person("anna").await;
    let url = has(&anna, picture!("progressive.jpg")).await;
    let whole = world.client().get(&*url).answer().await.is(200);
    let etag = whole.header("etag").to_owned();
    assert!(etag.starts_with('"') && etag.ends_with('"') && etag.len() > 10, "a strong validator: {etag}");
    for tags in [etag.clone(), format!("W/{etag}"), format!("\"other\", {etag}"), "*".to_owned()] {
        let answer = world.client().get(&*url).header("if-none-match", &tags).answer().await.is(304);
        assert_eq!((answer.header("etag"), answer.body.len()), (&*etag, 0), "{tags}");
        assert!(answer.header("cache-control").contains("immutable"), "{answer}");
    }
    let other = world.client().get(&*url).header("if-none-match", "\"other\"").answer().await.is(200);
    assert_eq!(other.body, whole.body);
    let other_size = world.client().get(format!("{url}&size=64")).header("if-none-match", &etag);
    let _ = other_size.answer().await.is(200);
}

#[tokio::test]
async fn another_picture_has_another_address_and_the_old_one_leads_to_it() {
    let world = World::shared();
    let anna = world.person("anna").await;
    let first = has(&anna, picture!("rotated.jpg")).await;
    assert_eq!(has(&anna, picture!("rotated.jpg")).await, first, "the same picture, the same address");
    let second = has(&anna, picture!("grey.jpg")).await;
    assert_ne!(first, second);
    let present = world.client().get(second).answer().await.is(200);
    for stale in [first, format!("/api/profile/{}/image", anna.id()), format!("/api/profile/{}/image?v=", anna.id())] {
        let answer = world.client().get(stale).answer().await.is(200);
        assert_eq!(answer.body, present.body);
        assert_eq!(answer.header("cache-control"), "public, no-cache");
    }
    let me: User = anna.get("/api/profile/me").await;
    let _ = anna.client.delete("/api/profile/me/image").answer().await.is(204);
    let _ = anna.client.delete("/api/profile/me/image").answer().await.is(204);
    world.client().get(me.profile_image_url.expect("an address")).answer().await.problem(404, "not_found");
    assert_eq!(anna.get::<User>("/api/profile/me").await.profile_image_url, None);
}

#[tokio::test]
async fn the_largest_pictures_of_every_kind_are_taken() {
    let world = World::shared();
    let anna = world.person("anna").await;
    for picture in [
        picture!("largest-progressive.jpg"),
        picture!("largest-sequential.jpg"),
        picture!("largest-16-bit.png"),
        picture!("largest-lossless.webp"),
        picture!("largest-lossy.webp"),
        picture!("largest-animated.webp"),
    ] {
        has(&anna, picture).await;
    }
}

#[tokio::test]
async fn what_is_no_picture_is_refused_for_what_it_is() {
    let world = World::shared();
    let anna = world.person("anna").await;
    put(&anna, b"").await.problem(415, "unsupported_media_type");
    put(&anna, picture!("animated.gif")).await.problem(415, "unsupported_media_type");
    put(&anna, b"\xff\xd8\xff\xe0").await.problem(422, "picture_broken");
    put(&anna, &picture!("palette.png")[..60]).await.problem(422, "picture_broken");

    // A header that promises more than there is, by far.
    let mut bomb = picture!("largest-progressive.jpg").to_vec();
    let frame = bomb.windows(2).position(|marker| marker == [0xff, 0xc2]).expect("a progressive frame");
    bomb[frame + 5..frame + 9].fill(0xff);
    let call = anna.client.put("/api/profile/me/image").body("image/jpeg", bomb);
    call.answer().await.problem(422, "picture_too_large");

    // Exactly as much as may be, and one byte more: what follows the picture does not matter.
    let mut large = picture!("grey.jpg").to_vec();
    large.resize(1024 * 1024, 0);
    let call = anna.client.put("/api/profile/me/image").body("image/jpeg", large.clone());
    let _ = call.answer().await.is(200);
    large.push(0);
    // Whoever sends more than is taken may lose the answer, as the rest is not read.
    match anna.client.put("/api/profile/me/image").body("image/jpeg", large).send().await {
        Ok(answer) => drop(answer.problem(413, "payload_too_large")),
        Err(lost) => eprintln!("no answer to a picture that is too large: {lost}"),
    }
}

#[tokio::test]
async fn nobody_and_nothing_have_no_picture() {
    let world = World::shared();
    let anna = world.person("anna").await;
    for id in [anna.id(), NOBODY, "0", "nonsense", "%00"] {
        world.client().get(format!("/api/profile/{id}/image")).answer().await.problem(404, "not_found");
    }
}
