//! Files that a component carries: put into it by its build script, compressed, and served from it.

#[cfg(feature = "embed")]
pub mod embed;
#[cfg(feature = "serve")]
pub mod serve;

/// A file, compressed.
#[derive(Debug)]
pub struct File {
    /// Its name.
    pub name: &'static str,
    /// Half of its content's SHA-256, as 32 hexadecimal digits.
    pub hash: &'static str,
    /// Its content in gzip's format (RFC 1952), without optional fields in the head.
    pub gzip: &'static [u8],
}
