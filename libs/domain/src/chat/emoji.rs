//! What people may react with: exactly one emoji.

use crate::schema::schema;
use std::fmt;
use std::str::FromStr;
use unicode_properties::{EmojiStatus, UnicodeEmoji};
use unicode_segmentation::UnicodeSegmentation;

/// The most bytes of an emoji: the longest there are, families with skin tones and flags of regions, have about 40.
const EMOJI_BYTES_MAX: usize = 64;

const JOINER: char = '\u{200d}';
const EMOJI_STYLE: char = '\u{fe0f}';
const KEYCAP: char = '\u{20e3}';
const BLACK_FLAG: char = '🏴';
const TAGS: std::ops::RangeInclusive<char> = '\u{e0020}'..='\u{e007e}';
const TAGS_END: char = '\u{e007f}';
const REGIONS: std::ops::RangeInclusive<char> = '\u{1f1e6}'..='\u{1f1ff}';

/// One emoji, as Unicode Technical Standard 51 has them: one extended grapheme cluster that is shown as a picture.
///
/// A single character that would be shown as text without it gets the variation selector for pictures, so that ❤ and ❤️ are the
/// same reaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Emoji(String);

/// A text that is not exactly one emoji.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAnEmoji;

impl fmt::Display for NotAnEmoji {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not one emoji")
    }
}

impl std::error::Error for NotAnEmoji {}

impl Emoji {
    /// The emoji.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Emoji {
    type Err = NotAnEmoji;

    fn from_str(text: &str) -> Result<Self, NotAnEmoji> {
        let one_cluster = text.len() <= EMOJI_BYTES_MAX && text.graphemes(true).count() == 1;
        if !one_cluster {
            return Err(NotAnEmoji);
        }
        let chars: Vec<char> = text.chars().collect();
        match chars[..] {
            // A keycap: 1️⃣, with or without the selector.
            ['0'..='9' | '#' | '*', EMOJI_STYLE, KEYCAP] => Ok(Self(text.to_owned())),
            ['0'..='9' | '#' | '*', ..] => Err(NotAnEmoji),
            // A flag of a country: two letters, never one.
            [first, second] if REGIONS.contains(&first) && REGIONS.contains(&second) => Ok(Self(text.to_owned())),
            // A flag of a region: 🏴 and what it is called, in characters that nobody sees.
            [BLACK_FLAG, ref name @ .., TAGS_END] if !name.is_empty() && name.iter().all(|c| TAGS.contains(c)) => {
                Ok(Self(text.to_owned()))
            }
            [alone] if is_picture(alone) && !is_shown_as_picture(alone) => Ok(Self(format!("{alone}{EMOJI_STYLE}"))),
            _ => {
                let known = |c: &char| is_picture(*c) || matches!(*c, JOINER | EMOJI_STYLE);
                let begins = chars.first().copied().is_some_and(is_picture);
                let shown = chars.iter().any(|c| is_shown_as_picture(*c) || *c == EMOJI_STYLE);
                if begins && shown && chars.iter().all(known) { Ok(Self(text.to_owned())) } else { Err(NotAnEmoji) }
            }
        }
    }
}

/// Whether it is an emoji by itself or with the selector: not a digit, not half of a flag.
fn is_picture(c: char) -> bool {
    c.is_emoji_char() && !c.is_ascii() && !REGIONS.contains(&c)
}

/// Whether it is a picture without the selector.
fn is_shown_as_picture(c: char) -> bool {
    is_picture(c)
        && !matches!(
            c.emoji_status(),
            EmojiStatus::EmojiOther | EmojiStatus::EmojiOtherAndEmojiComponent | EmojiStatus::EmojiModifierBase
        )
}

schema!(Emoji, {
    "type": "string",
    "description": "Exactly one emoji: one extended grapheme cluster that is shown as a picture (Unicode Technical Standard 51).",
    "minLength": 1,
    "examples": ["👍"],
});

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_emoji_is_one_picture_however_it_is_put_together() {
        for emoji in ["👍", "👍🏽", "👨‍👩‍👧‍👦", "👩🏽‍❤️‍💋‍👨🏿", "🏳️‍🌈", "🇰🇷", "1️⃣", "#️⃣", "❤️", "☎️", "🏴󠁧󠁢󠁳󠁣󠁴󠁿", "🏴", "🫠", "☝🏿", "✌️"]
        {
            assert_eq!(emoji.parse::<Emoji>().as_ref().map(Emoji::as_str), Ok(emoji), "{emoji}");
        }
        assert_eq!("❤".parse::<Emoji>().unwrap().as_str(), "❤️");
        assert_eq!("☝".parse::<Emoji>().unwrap().as_str(), "☝️");
    }

    #[test]
    fn what_is_not_one_picture_is_none() {
        for text in [
            "",
            "a",
            "1",
            "#",
            "가",
            "👍👍",
            "👍a",
            "a👍",
            " 👍",
            "🇰",
            "🇰🇷🇰",
            "\u{200d}",
            "\u{fe0f}",
            "\u{20e3}",
            "1\u{fe0f}",
            "e\u{301}",
            "👍\u{301}",
            "❤\u{fe0e}",
            "🏴\u{e0067}",
            "🏴\u{e007f}",
            "👍\u{e0067}\u{e007f}",
            "<",
            "'",
            "%",
            "\0",
        ] {
            assert_eq!(text.parse::<Emoji>(), Err(NotAnEmoji), "{text:?}");
        }
        // One cluster, but longer than any emoji.
        assert_eq!("👨".parse::<Emoji>().map(|_| ()), Ok(()));
        assert_eq!(["👨"; 12].join("\u{200d}").parse::<Emoji>(), Err(NotAnEmoji));
    }

    proptest! {
        #[test]
        fn no_text_is_taken_for_an_emoji_and_none_is_changed_twice(text in "\\PC{0,8}") {
            if let Ok(emoji) = text.parse::<Emoji>() {
                prop_assert!(!text.is_ascii());
                prop_assert_eq!(emoji.as_str().parse::<Emoji>(), Ok(emoji.clone()));
            }
        }
    }
}
