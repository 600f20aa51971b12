//! What a column can hold, and a row of columns.

use plaza_domain::{Problem, Timestamp, id};
pub use spin_sdk::sqlite3::Value;

/// A row of a result.
#[derive(Debug)]
pub struct Row {
    pub(super) values: Vec<Value>,
}

impl Row {
    /// A column by its place. What is not of the type was not written by us: 500, and the log tells.
    pub fn get<T: Column>(&self, index: usize) -> Result<T, Problem> {
        let value = self.values.get(index);
        value.and_then(T::from_value).ok_or_else(|| {
            eprintln!("column {index} is {value:?}, not of the type that is read");
            Problem::internal()
        })
    }
}

/// What a column can hold.
pub trait Column: Sized {
    /// As it is stored.
    fn to_value(&self) -> Value;
    /// From what is stored.
    fn from_value(value: &Value) -> Option<Self>;
}

macro_rules! integer_columns {
    ($($integer:ty)*) => {$(
        impl Column for $integer {
            fn to_value(&self) -> Value {
                Value::Integer(i64::try_from(*self).unwrap_or(i64::MAX))
            }

            fn from_value(value: &Value) -> Option<Self> {
                if let Value::Integer(integer) = value { (*integer).try_into().ok() } else { None }
            }
        }
    )*};
}

macro_rules! id_columns {
    ($($id:ident)*) => {$(
        impl Column for id::$id {
            fn to_value(&self) -> Value {
                Value::Text(self.to_string())
            }

            fn from_value(value: &Value) -> Option<Self> {
                if let Value::Text(text) = value { text.parse().ok() } else { None }
            }
        }
    )*};
}

integer_columns! { i64 u64 u32 }
id_columns! { UserId SessionId FriendRequestId RoomId MessageId NotificationId EventId }

impl Column for bool {
    fn to_value(&self) -> Value {
        Value::Integer(i64::from(*self))
    }

    fn from_value(value: &Value) -> Option<Self> {
        if let Value::Integer(integer) = value { Some(*integer != 0) } else { None }
    }
}

impl Column for String {
    fn to_value(&self) -> Value {
        Value::Text(self.clone())
    }

    fn from_value(value: &Value) -> Option<Self> {
        if let Value::Text(text) = value { Some(text.clone()) } else { None }
    }
}

/// Bytes as they are. A dialect that does not tell bytes from text hands those on as text that happen to be some.
impl Column for Vec<u8> {
    fn to_value(&self) -> Value {
        Value::Blob(self.clone())
    }

    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Blob(bytes) => Some(bytes.clone()),
            Value::Text(text) => Some(text.clone().into_bytes()),
            _ => None,
        }
    }
}

/// Written only: what is read is owned.
impl Column for &str {
    fn to_value(&self) -> Value {
        Value::Text((*self).to_owned())
    }

    fn from_value(_: &Value) -> Option<Self> {
        None
    }
}

impl Column for Timestamp {
    fn to_value(&self) -> Value {
        Value::Integer(self.unix_ms())
    }

    fn from_value(value: &Value) -> Option<Self> {
        if let Value::Integer(unix_ms) = value { Some(Self::from_unix_ms(*unix_ms)) } else { None }
    }
}

impl<T: Column> Column for Option<T> {
    fn to_value(&self) -> Value {
        self.as_ref().map_or(Value::Null, T::to_value)
    }

    fn from_value(value: &Value) -> Option<Self> {
        if matches!(value, Value::Null) { Some(None) } else { T::from_value(value).map(Some) }
    }
}

impl<T: Column> Column for &T {
    fn to_value(&self) -> Value {
        (*self).to_value()
    }

    fn from_value(_: &Value) -> Option<Self> {
        None
    }
}
