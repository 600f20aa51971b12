//! Puts the page's own files, and those of Swagger UI that it needs, into the component.

use std::io::{self, Cursor, Read};
use std::{collections::BTreeMap, fs};
use utoipa_swagger_ui_vendored::SWAGGER_UI_VENDORED;
use zip::ZipArchive;

/// What the page needs of Swagger UI.
const SWAGGER_UI: [&str; 3] = ["swagger-ui-bundle.js", "swagger-ui.css", "favicon-32x32.png"];

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=files");
    println!("cargo::rerun-if-changed=build.rs");
    let mut files = BTreeMap::new();
    for entry in fs::read_dir("files")? {
        let entry = entry?;
        files.insert(entry.file_name().to_string_lossy().into_owned(), fs::read(entry.path())?);
    }
    let mut archive = ZipArchive::new(Cursor::new(SWAGGER_UI_VENDORED)).map_err(io::Error::other)?;
    for name in SWAGGER_UI {
        let end = format!("/dist/{name}");
        let mut content = Vec::new();
        for index in 0..archive.len() {
            let mut file = archive.by_index(index).map_err(io::Error::other)?;
            if file.enclosed_name().is_some_and(|path| path.to_string_lossy().ends_with(&end)) {
                file.read_to_end(&mut content)?;
                break;
            }
        }
        if content.is_empty() {
            return Err(io::Error::other(format!("Swagger UI has no {name}")));
        }
        files.insert(name.to_owned(), content);
    }
    plaza_files::embed::embed(files.iter().map(|(name, content)| (name.as_str(), content.as_slice())))
}
