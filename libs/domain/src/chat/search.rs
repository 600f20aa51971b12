//! Which messages a search finds.
//!
//! A text is words: letters and digits in a row, in small letters. A word of a search finds the words that begin with it. Where no
//! spaces stand between words, or what is looked for is seldom their beginning (Hangul, Han, Kana, Thai), it finds those that have
//! it anywhere. All words of a search must be found.
//!
//! The index holds of each word that can be found by its beginning the word, and of each other one everything from each of its
//! characters on: so whatever is looked for is the beginning of something in the index.

use crate::input::Invalid;
use std::collections::BTreeSet;
use unicode_normalization::UnicodeNormalization as _;

/// The most characters of an entry of the index. What is longer is found by its beginning, and then looked at.
pub const TERM_LENGTH_MAX: usize = 16;

/// The most characters of a search.
pub const SEARCH_LENGTH_MAX: usize = 100;

/// What is searched for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Search {
    /// Never empty; the longest word first.
    words: Vec<String>,
}

impl Search {
    /// Reads a search: at least one word of two characters, or of one where a character is a word.
    pub fn new(text: &str) -> Result<Self, Invalid> {
        if text.chars().count() > SEARCH_LENGTH_MAX {
            return Err(Invalid::new("too_long", format!("must have at most {SEARCH_LENGTH_MAX} characters")));
        }
        let mut words = words(text);
        words.sort_by_key(|word| std::cmp::Reverse(word.chars().count()));
        words.dedup();
        match words.first() {
            Some(longest) if longest.chars().count() > 1 || is_found_anywhere(longest) => Ok(Self { words }),
            _ => Err(Invalid::new(
                "too_short",
                "must have a word of at least two characters, or one character of a script without letters",
            )),
        }
    }

    /// What entries of the index must begin with, to be worth a look.
    pub fn term(&self) -> String {
        self.words[0].chars().take(TERM_LENGTH_MAX).collect()
    }

    /// Whether a text is found.
    pub fn finds(&self, text: &str) -> bool {
        let words = words(text);
        self.words.iter().all(|wanted| {
            words.iter().any(|word| {
                if is_found_anywhere(word) { word.contains(wanted.as_str()) } else { word.starts_with(wanted.as_str()) }
            })
        })
    }
}

/// The entries of a text in the index: at most as many as it has characters.
pub fn terms(text: &str) -> BTreeSet<String> {
    let cut = |text: &str| text.chars().take(TERM_LENGTH_MAX).collect::<String>();
    let mut terms = BTreeSet::new();
    for word in words(text) {
        if is_found_anywhere(&word) {
            terms.extend(word.char_indices().map(|(at, _)| cut(&word[at..])));
        } else {
            terms.insert(cut(&word));
        }
    }
    terms
}

/// The words of a text, in small letters, and composed (NFC): Hangul that comes from the name of a file on a Mac is in single letters.
fn words(text: &str) -> Vec<String> {
    let composed: String = text.nfc().collect();
    let words = composed.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    // In small letters some characters are two, of which one is a mark: İ.
    let small = words.map(|word| word.to_lowercase().chars().filter(|c| c.is_alphanumeric()).collect::<String>());
    small.filter(|word| !word.is_empty()).collect()
}

/// Whether a word has characters of a script that is not written in words, or whose words have endings that change: Korean.
fn is_found_anywhere(word: &str) -> bool {
    word.chars().any(|c| {
        matches!(c,
            '\u{e00}'..='\u{eff}'           // Thai, Lao
            | '\u{1000}'..='\u{109f}'       // Myanmar
            | '\u{1100}'..='\u{11ff}'       // Hangul Jamo
            | '\u{1780}'..='\u{17ff}'       // Khmer
            | '\u{3005}'..='\u{3007}'
            | '\u{3040}'..='\u{30ff}'       // Hiragana, Katakana
            | '\u{3100}'..='\u{31ff}'       // Bopomofo, Hangul compatibility Jamo
            | '\u{3400}'..='\u{4dbf}'
            | '\u{4e00}'..='\u{9fff}'       // Han
            | '\u{a960}'..='\u{a97f}'
            | '\u{ac00}'..='\u{d7ff}'       // Hangul
            | '\u{f900}'..='\u{faff}'
            | '\u{ff66}'..='\u{ffdc}'       // halfwidth Katakana and Hangul
            | '\u{20000}'..='\u{3ffff}')
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn finds(search: &str, text: &str) -> bool {
        let search = Search::new(search).unwrap();
        let in_index = terms(text).iter().any(|term| term.starts_with(&search.term()));
        assert!(in_index || !search.finds(text), "the index has what is found: {search:?} in {text:?}");
        search.finds(text)
    }

    #[test]
    fn korean_is_found_in_the_middle_of_a_word() {
        let text = "우리는 내일 대한민국에서 만나요! See you at Gangnam-station";
        for search in
            ["대한민국", "한민", "민국에서", "만나", "나요", "국", "우리 만나", "gang", "STATION", "you 대한", "see 요"]
        {
            assert!(finds(search, text), "{search}");
        }
        for search in ["대한미국", "오늘", "angnam", "ation", "우리 오늘", "민국 에서는", "gangnams"] {
            assert!(!finds(search, text), "{search}");
        }
    }

    #[test]
    fn other_scripts_are_found_too() {
        for (search, text) in [
            ("京都", "来週は東京都へ行きます"),
            ("へ", "東京へ"),
            ("ストラン", "レストラン"),
            ("привет", "Привет, мир"),
            ("größe", "GRÖSSE und Größe"),
            ("istanbul", "İstanbul"),
            ("rust언", "Rust언어를 배워요"),
            ("언어", "Rust언어를 배워요"),
            ("สวัสดี", "ครับสวัสดีครับ"),
            ("2026", "2026-11-21"),
        ] {
            assert!(finds(search, text), "{search} in {text}");
        }
    }

    #[test]
    fn it_does_not_matter_how_characters_are_composed() {
        let text = "대한민국에서 café";
        let apart = |text: &str| text.nfd().collect::<String>();
        for search in ["대한", "민국", "café"] {
            assert_ne!(apart(search), search);
            assert!(finds(search, &apart(text)) && finds(&apart(search), text), "{search}");
            assert!(finds(&apart(search), &apart(text)), "{search}");
        }
    }

    #[test]
    fn what_is_longer_than_an_entry_is_looked_at_whole() {
        let long = "abcdefghijklmnopqrstuvwxyz";
        assert!(finds(&long[..20], long));
        assert!(!finds("abcdefghijklmnopqrsX", long));
        let korean = "가나다라마바사아자차카타파하거너더러머버";
        assert!(finds(korean, &format!("앞{korean}뒤")));
        assert!(!finds(&format!("{korean}끝"), korean));
    }

    #[test]
    fn a_search_needs_something_to_look_for() {
        for text in ["", " ", "a", "%", "_", "a b c", "👍", "' -- ;", "é"] {
            assert_eq!(Search::new(text).unwrap_err().code, "too_short", "{text:?}");
        }
        assert_eq!(Search::new(&"x".repeat(101)).unwrap_err().code, "too_long");
        for text in ["가", "ab", "a bc", "水"] {
            assert!(Search::new(text).is_ok(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_found_is_in_the_index(text in "[가나다abAB한 .,%_漢İß]{0,40}", search in "[가나다abAB한 漢İß]{1,6}") {
            if Search::new(&search).is_ok() {
                finds(&search, &text);
            }
        }

        #[test]
        fn an_index_has_no_more_entries_than_the_text_characters(text: String) {
            let terms = terms(&text);
            prop_assert!(terms.len() <= text.to_lowercase().chars().count());
            prop_assert!(terms.iter().all(|term| (1..=TERM_LENGTH_MAX).contains(&term.chars().count())));
        }

        #[test]
        fn every_part_of_a_korean_word_finds_it(word in "[가-힣]{1,30}", from in 0..30usize, count in 1..30usize) {
            let part: String = word.chars().skip(from).take(count).collect();
            if !part.is_empty() {
                let text = format!("앞 {word} 뒤");
                prop_assert!(finds(&part, &text));
            }
        }
    }
}
