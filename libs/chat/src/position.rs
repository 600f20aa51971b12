//! Places in lists that are in the order of a time.

use std::fmt;
use std::str::FromStr;

/// A place in a list: a time (milliseconds since the Unix epoch), and an id among those of the same time.
#[derive(Debug, Clone, Copy)]
pub struct Position<Id>(pub i64, pub Id);

impl<Id: FromStr> FromStr for Position<Id> {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (at, id) = text.split_once(':').ok_or(())?;
        Ok(Self(at.parse().map_err(|_| ())?, id.parse().map_err(|_| ())?))
    }
}

impl<Id: fmt::Display> fmt::Display for Position<Id> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.0, self.1)
    }
}
