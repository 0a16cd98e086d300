//! Builds the dashboard's files into the binary, when there are any: a build without them works and says so on the
//! page.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// Where `npm run build` of the dashboard writes to.
const WEB: &str = "../web/dist-fleet";

fn main() -> io::Result<()> {
    let web = Path::new(&env::var("CARGO_MANIFEST_DIR").map_err(io::Error::other)?).join(WEB);
    println!("cargo::rerun-if-changed={WEB}");
    println!("cargo::rerun-if-changed=build.rs");
    let mut files = Vec::new();
    // A development build reads them from the disk, so that a new page needs no new binary.
    if env::var("PROFILE").is_ok_and(|profile| profile == "release") && web.is_dir() {
        collect(&web, &mut files)?;
    }
    files.sort();
    let mut code = String::from("pub(super) static FILES: &[(&str, &[u8])] = &[\n");
    for file in &files {
        println!("cargo::rerun-if-changed={}", file.display());
        let name = file.strip_prefix(&web).map_err(io::Error::other)?;
        writeln!(
            code,
            "    ({:?}, include_bytes!({:?})),",
            name.display().to_string(),
            file.display().to_string()
        )
        .map_err(io::Error::other)?;
    }
    code.push_str("];\n");
    let out = PathBuf::from(env::var("OUT_DIR").map_err(io::Error::other)?);
    fs::write(out.join("dashboard.rs"), code)
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}
