//! Puts the document into the component.

fn main() -> std::io::Result<()> {
    println!("cargo::rerun-if-changed=openapi.json");
    let document = std::fs::read("openapi.json")?;
    plaza_files::embed::embed([("openapi.json", document.as_slice())])
}
