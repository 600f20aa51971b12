//! Values and errors, as Spin passes them on.

use mysql_async::consts::{ColumnFlags, ColumnType};
use mysql_async::prelude::FromValue;
use mysql_async::{Column as MysqlColumn, Row, Value, from_value_opt};

use crate::wit::fermyon::spin::rdbms_types::{Column, DbDataType, DbValue, Error, ParameterValue};

/// The driver's own words, down to its types' names: components look into them for the server's codes.
pub(super) fn failed(error: &mysql_async::Error) -> Error {
    Error::QueryFailed(format!("{error:?}"))
}

pub(super) fn unreachable(error: &mysql_async::Error) -> Error {
    Error::ConnectionFailed(format!("{error:?}"))
}

pub(super) fn parameter(value: ParameterValue) -> Value {
    match value {
        ParameterValue::Boolean(value) => value.into(),
        ParameterValue::Int8(value) => value.into(),
        ParameterValue::Int16(value) => value.into(),
        ParameterValue::Int32(value) => value.into(),
        ParameterValue::Int64(value) => value.into(),
        ParameterValue::Uint8(value) => value.into(),
        ParameterValue::Uint16(value) => value.into(),
        ParameterValue::Uint32(value) => value.into(),
        ParameterValue::Uint64(value) => value.into(),
        ParameterValue::Floating32(value) => value.into(),
        ParameterValue::Floating64(value) => value.into(),
        ParameterValue::Str(value) => value.into(),
        ParameterValue::Binary(value) => value.into(),
        ParameterValue::DbNull => Value::NULL,
    }
}

pub(super) fn column(column: &MysqlColumn) -> Column {
    Column { name: column.name_str().into_owned(), data_type: data_type(column) }
}

/// Spin's mapping. What is neither a number nor text nor bytes (dates, decimals) is `other`, and cannot be read unless it
/// is NULL. Text whose collation is a binary one counts as bytes.
fn data_type(column: &MysqlColumn) -> DbDataType {
    let flags = column.flags();
    let unsigned = flags.contains(ColumnFlags::UNSIGNED_FLAG);
    let binary = flags.contains(ColumnFlags::BINARY_FLAG);
    let either = |unsigned_type, signed_type| if unsigned { unsigned_type } else { signed_type };
    match column.column_type() {
        ColumnType::MYSQL_TYPE_TINY => either(DbDataType::Uint8, DbDataType::Int8),
        ColumnType::MYSQL_TYPE_SHORT => either(DbDataType::Uint16, DbDataType::Int16),
        ColumnType::MYSQL_TYPE_INT24 | ColumnType::MYSQL_TYPE_LONG => either(DbDataType::Uint32, DbDataType::Int32),
        ColumnType::MYSQL_TYPE_LONGLONG => either(DbDataType::Uint64, DbDataType::Int64),
        ColumnType::MYSQL_TYPE_FLOAT => DbDataType::Floating32,
        ColumnType::MYSQL_TYPE_DOUBLE => DbDataType::Floating64,
        ColumnType::MYSQL_TYPE_BLOB | ColumnType::MYSQL_TYPE_STRING | ColumnType::MYSQL_TYPE_VAR_STRING => {
            if binary {
                DbDataType::Binary
            } else {
                DbDataType::Str
            }
        }
        ColumnType::MYSQL_TYPE_MEDIUM_BLOB | ColumnType::MYSQL_TYPE_LONG_BLOB => DbDataType::Binary,
        _ => DbDataType::Other,
    }
}

/// A row, and what it takes in memory, in bytes.
pub(super) fn row(row: Row, columns: &[Column]) -> Result<(Vec<DbValue>, usize), Error> {
    let mut bytes = 0;
    let values = row.unwrap().into_iter().zip(columns).map(|(value, column)| {
        bytes += size_of::<DbValue>() + if let Value::Bytes(text) = &value { text.len() } else { 0 };
        self::value(value, column)
    });
    let values = values.collect::<Result<_, _>>()?;
    Ok((values, bytes))
}

fn value(value: Value, column: &Column) -> Result<DbValue, Error> {
    if value == Value::NULL {
        return Ok(DbValue::DbNull);
    }
    match column.data_type {
        DbDataType::Boolean => read(value).map(DbValue::Boolean),
        DbDataType::Int8 => read(value).map(DbValue::Int8),
        DbDataType::Int16 => read(value).map(DbValue::Int16),
        DbDataType::Int32 => read(value).map(DbValue::Int32),
        DbDataType::Int64 => read(value).map(DbValue::Int64),
        DbDataType::Uint8 => read(value).map(DbValue::Uint8),
        DbDataType::Uint16 => read(value).map(DbValue::Uint16),
        DbDataType::Uint32 => read(value).map(DbValue::Uint32),
        DbDataType::Uint64 => read(value).map(DbValue::Uint64),
        DbDataType::Floating32 => read(value).map(DbValue::Floating32),
        DbDataType::Floating64 => read(value).map(DbValue::Floating64),
        DbDataType::Str => read(value).map(DbValue::Str),
        DbDataType::Binary => read(value).map(DbValue::Binary),
        DbDataType::Other => Err(Error::ValueConversionFailed(format!(
            "Cannot convert the value of column {}: it is neither a number nor text nor bytes",
            column.name
        ))),
    }
}

fn read<T: FromValue>(value: Value) -> Result<T, Error> {
    from_value_opt(value).map_err(|error| Error::ValueConversionFailed(error.to_string()))
}
