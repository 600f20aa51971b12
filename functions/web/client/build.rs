//! Puts the files of the client into the component.
//!
//! `{version}` in `index.html` becomes a hash of all the files, so that everything else has an address that never changes
//! its content.

use std::path::{Path, PathBuf};
use std::{collections::BTreeMap, env, fs, io};

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=files");
    println!("cargo::rerun-if-changed=build.rs");
    let root = Path::new(&env::var("CARGO_MANIFEST_DIR").map_err(io::Error::other)?).join("files");
    let out = PathBuf::from(env::var("OUT_DIR").map_err(io::Error::other)?);
    let mut files = BTreeMap::new();
    collect(&root, &root, &mut files)?;

    let all: Vec<u8> = files.iter().flat_map(|(name, content)| name.bytes().chain(content.iter().copied())).collect();
    let version = plaza_files::embed::hash(&all);
    if let Some(page) = files.get_mut("index.html") {
        *page = String::from_utf8_lossy(page).replace("{version}", &version).into();
    }
    fs::write(out.join("version.rs"), format!("const VERSION: &str = {version:?};\n"))?;
    plaza_files::embed::embed(files.iter().map(|(name, content)| (name.as_str(), content.as_slice())))
}

/// The files of a folder and of those in it, by their paths below the root.
fn collect(root: &Path, folder: &Path, files: &mut BTreeMap<String, Vec<u8>>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(root, &path, files)?;
        } else {
            let name = path.strip_prefix(root).map_err(io::Error::other)?;
            files.insert(name.to_string_lossy().into_owned(), fs::read(&path)?);
        }
    }
    Ok(())
}
