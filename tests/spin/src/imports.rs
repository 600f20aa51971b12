//! What a component may import on Spin 3.6: its world `spin:up/platform@3.6.0` (`wit/world.wit` of spinframework/spin) without
//! what stands behind a flag there.

use wasmparser::{Parser, Payload};

/// Interfaces of WASI 0.2: those of the release that Spin has, and of every earlier one.
const WASI: &[&str] = &[
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stderr",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stderr",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/wall-clock",
    "wasi:filesystem/preopens",
    "wasi:filesystem/types",
    "wasi:http/outgoing-handler",
    "wasi:http/types",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
    "wasi:random/random",
    "wasi:sockets/instance-network",
    "wasi:sockets/ip-name-lookup",
    "wasi:sockets/network",
    "wasi:sockets/tcp",
    "wasi:sockets/tcp-create-socket",
    "wasi:sockets/udp",
    "wasi:sockets/udp-create-socket",
];

/// The last number of WASI's release: 0.2.6.
const WASI_RELEASE: u32 = 6;

/// Spin's own interfaces, and drafts of WASI, each in exactly these versions.
const SPIN: &[&str] = &[
    "fermyon:spin/key-value@2.0.0",
    "fermyon:spin/llm@2.0.0",
    "fermyon:spin/mqtt@2.0.0",
    "fermyon:spin/mysql@2.0.0",
    "fermyon:spin/postgres@2.0.0",
    "fermyon:spin/rdbms-types@2.0.0",
    "fermyon:spin/redis@2.0.0",
    "fermyon:spin/sqlite@2.0.0",
    "fermyon:spin/variables@2.0.0",
    "spin:postgres/postgres@3.0.0",
    "spin:postgres/postgres@4.0.0",
    "spin:sqlite/sqlite@3.0.0",
    "wasi:config/store@0.2.0-draft-2024-09-27",
    "wasi:keyvalue/atomics@0.2.0-draft2",
    "wasi:keyvalue/batch@0.2.0-draft2",
    "wasi:keyvalue/store@0.2.0-draft2",
];

/// Whether Spin 3.6 has this interface.
pub fn is_offered(import: &str) -> bool {
    let of_wasi = import.split_once("@0.2.").is_some_and(|(interface, release)| {
        WASI.contains(&interface) && release.parse::<u32>().is_ok_and(|release| release <= WASI_RELEASE)
    });
    of_wasi || SPIN.contains(&import)
}

/// What a component imports.
pub fn of(component: &[u8]) -> Result<Vec<String>, String> {
    let mut imports = Vec::new();
    // Inside are modules and components of its own, whose imports it satisfies itself.
    let mut depth = 0_u32;
    for payload in Parser::new(0).parse_all(component) {
        match payload.map_err(|error| error.to_string())? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    imports.push(import.map_err(|error| error.to_string())?.name.name.to_owned());
                }
            }
            _ => {}
        }
    }
    Ok(imports)
}
