//! Why a host could not start.

use std::fmt;
use std::path::PathBuf;

/// Why [`Host::start`](crate::Host::start) failed. Each message names the file, the component or the variable at fault
/// and says what to change; none contains the value of a variable.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or directory could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The manifest is not valid, or asks for something that this host does not offer. Every problem found is listed.
    #[error("{}: {problems}", path.display())]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// What is wrong with it.
        problems: Problems,
    },
    /// Variables that are `required = true` have no value.
    #[error("no value for the required variable{} {}: set {}", if names.len() == 1 { "" } else { "s" }, names.join(", "),
        names.iter().map(|name| crate::variables::environment_name(name)).collect::<Vec<_>>().join(", "))]
    MissingVariables {
        /// Their names, as in the manifest.
        names: Vec<String>,
    },
    /// A component's file is not a component that this host can run.
    #[error("component {component} ({}): {message}", source_path.display())]
    Component {
        /// The component's id.
        component: String,
        /// Its file.
        source_path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// A database could not be opened or migrated.
    #[error("database {label}: {source}")]
    Database {
        /// The label of the SQLite database or key-value store.
        label: String,
        /// What the database said.
        source: plaza_sqlite::Error,
    },
    /// The URL of a Redis is none. It is not shown, because it may hold a password.
    #[error(
        "key-value store {label}: the URL of its Redis is not valid ({reason}); it begins with redis:// or rediss://"
    )]
    Redis {
        /// The label of the key-value store.
        label: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Wasmtime refused its configuration or the memory it needs.
    #[error("WebAssembly engine: {0}")]
    Engine(String),
}

impl Error {
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }
}

/// The problems of a manifest, one line each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Problems(pub Vec<String>);

impl fmt::Display for Problems {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [only] => formatter.write_str(only),
            several => {
                write!(formatter, "{} problems", several.len())?;
                several.iter().try_for_each(|problem| write!(formatter, "\n  - {problem}"))
            }
        }
    }
}
