use std::{io, path::PathBuf, sync::Arc};

/// Why something did not happen.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The address cannot be used. It is not repeated: it may contain a password.
    #[error("the database address {0}; it should look like mysql://user:password@host:3306/database")]
    Address(String),
    /// The server could not be reached, or refused.
    #[error("{0}")]
    Server(Arc<mysql_async::Error>),
    /// A migration's file could not be read.
    #[error("{}: {source}", path.display())]
    File {
        /// The file or directory.
        path: PathBuf,
        /// The reason.
        source: Arc<io::Error>,
    },
    /// A migration cannot be applied or reverted.
    #[error("migration {name}: {reason}")]
    Migration {
        /// Name of its file.
        name: String,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// Another process is migrating the same database.
    #[error("another process is migrating database {0}; try again when it is done")]
    Busy(String),
}

impl From<mysql_async::Error> for Error {
    fn from(error: mysql_async::Error) -> Self {
        Self::Server(Arc::new(error))
    }
}

impl From<mysql_async::UrlError> for Error {
    fn from(error: mysql_async::UrlError) -> Self {
        use mysql_async::UrlError;
        Self::Address(match error {
            UrlError::FeatureRequired { param, .. } | UrlError::UnknownParameter { param } => {
                format!("has the parameter {param}, which is not supported")
            }
            UrlError::InvalidParamValue { param, .. } => format!("has no valid value for the parameter {param}"),
            UrlError::UnsupportedScheme { .. } => "does not begin with mysql://".to_owned(),
            UrlError::Invalid | UrlError::InvalidPoolConstraints { .. } | UrlError::Parse(_) => {
                "is not a valid URL".to_owned()
            }
        })
    }
}
