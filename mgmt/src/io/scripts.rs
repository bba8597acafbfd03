//! Zeek's scripts on this host.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use crate::settings::script::MAX_FILE;
use crate::settings::{FoundFile, Library, Sources};

/// The scripts of this host, found as Zeek finds them.
#[derive(Debug)]
pub(super) struct Scripts {
    /// The directory we are in, or that of whose scripts these are.
    here: PathBuf,
    /// The same, as messages name it.
    beside: PathBuf,
    /// `ZEEKPATH`.
    path: Vec<PathBuf>,
    /// Zeek's own, if they are here.
    stock: Option<PathBuf>,
}

impl Scripts {
    /// Looks where `ZEEKPATH` says, or where the installation has its scripts.
    #[must_use]
    pub(super) fn new(sources: &Sources) -> Self {
        let share = sources.prefix.join("share/zeek");
        let given = sources.env.get("ZEEKPATH").filter(|path| !path.is_empty());
        let path: Vec<PathBuf> = match given {
            Some(path) => std::env::split_paths(path).collect(),
            // As zeek-config --zeekpath.
            None => vec![
                ".".into(),
                share.clone(),
                share.join("policy"),
                share.join("site"),
                share.join("builtin-plugins"),
            ],
        };
        Self {
            here: std::env::current_dir().unwrap_or_default(),
            beside: ".".into(),
            stock: stock(&path),
            path,
        }
    }

    /// The same for a program in another directory.
    pub(super) fn seen_from(here: &Path, sources: &Sources) -> Self {
        let path = Self::new(sources).path;
        let path: Vec<PathBuf> = path.iter().map(|dir| tidy(&here.join(dir))).collect();
        Self {
            here: here.to_owned(),
            beside: here.to_owned(),
            stock: stock(&path),
            path,
        }
    }

    /// The file of a name, and where it was looked for.
    fn locate(&self, name: &str, from: Option<&str>) -> Result<PathBuf, String> {
        let beside = from.map_or(self.beside.as_path(), Path::new);
        let places: Vec<&Path> = if name.starts_with('/') {
            vec![Path::new("/")]
        } else if name.starts_with('.') {
            vec![beside]
        } else {
            let path = self.path.iter().map(PathBuf::as_path);
            path.chain([beside]).collect()
        };
        let found = places.iter().find_map(|place| script_in(place, name));
        found.ok_or_else(|| {
            let mut names: Vec<String> =
                places.iter().map(|dir| dir.display().to_string()).collect();
            names.dedup();
            names.join(", ")
        })
    }

    /// Whether Zeek's own scripts are here.
    pub(super) fn has_stock(&self) -> bool {
        self.stock.is_some()
    }

    /// Whether Zeek's own scripts are here, and this is none of them.
    pub(super) fn lacks(&self, name: &str) -> bool {
        self.stock.is_some() && self.locate(name, None).is_err()
    }

    /// For messages: as short as it can be.
    fn shown(&self, path: &Path) -> String {
        let path = path.strip_prefix(&self.here).unwrap_or(path);
        path.display().to_string()
    }

    fn is_stock(&self, path: &Path, part: &str) -> bool {
        let stock = self.stock.as_ref();
        stock.is_some_and(|stock| path.starts_with(tidy(&stock.join(part))))
    }
}

impl Library for Scripts {
    fn find(&mut self, name: &str, from: Option<&str>) -> FoundFile {
        let path = match self.locate(name, from) {
            Ok(path) => tidy(&path),
            // A path that says where it is, or a name on a host that has all of Zeek.
            Err(places) if name.starts_with(['/', '.']) || self.stock.is_some() => {
                return FoundFile::Missing { places };
            }
            Err(places) if from.is_none() => return FoundFile::Missing { places },
            Err(_) => return FoundFile::Unknown,
        };
        if self.is_stock(&path, "base") {
            return FoundFile::Irrelevant;
        }
        match read(&path) {
            Ok((key, text)) => FoundFile::File {
                directory: key.parent().unwrap_or(&key).display().to_string(),
                key: key.display().to_string(),
                is_stock: self.is_stock(&path, "policy"),
                path: self.shown(&path),
                text,
            },
            Err(error) => FoundFile::Unreadable {
                reason: error.to_string(),
            },
        }
    }
}

/// Where Zeek's own scripts are.
fn stock(path: &[PathBuf]) -> Option<PathBuf> {
    let is_stock = |dir: &&PathBuf| dir.join("base/init-bare.zeek").is_file();
    path.iter().find(is_stock).cloned()
}

/// Stock: util.cc, `find_script_file`, and scan.l, `load_files`. A directory stands for the
/// `__load__.zeek` in it.
fn script_in(place: &Path, name: &str) -> Option<PathBuf> {
    let with_extension = place.join(format!("{name}.zeek"));
    if with_extension.is_file() {
        return Some(with_extension);
    }
    let path = place.join(name);
    if path.is_dir() {
        let package = path.join("__load__.zeek");
        return package.is_file().then_some(package);
    }
    // What is no ordinary file is found, too, and refused when read.
    path.exists().then_some(path)
}

/// The file's one true name and its text.
fn read(path: &Path) -> io::Result<(PathBuf, String)> {
    let meta = fs::metadata(path)?;
    if !meta.is_file() {
        return Err(io::Error::other("it is no ordinary file"));
    }
    if meta.len() > MAX_FILE {
        let text = format!("it is longer than {MAX_FILE} bytes");
        return Err(io::Error::other(text));
    }
    let bytes = fs::read(path)?;
    Ok((
        path.canonicalize()?,
        String::from_utf8_lossy(&bytes).into_owned(),
    ))
}

/// Without parts that say nothing.
fn tidy(path: &Path) -> PathBuf {
    let parts = path.components();
    parts
        .filter(|part| !matches!(part, Component::CurDir))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{Given, Loaded};

    /// A directory that goes with its owner.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str, files: &[(&str, &str)]) -> Self {
            let folder =
                std::env::temp_dir().join(format!("zeek-mgmt-{name}-{}", std::process::id()));
            for (file, text) in files {
                let path = folder.join(file);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            }
            Self(folder)
        }

        fn sources(&self) -> Sources {
            Sources {
                prefix: self.0.clone(),
                ..Sources::default()
            }
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn scripts_are_found_where_zeek_finds_them() {
        let folder = Folder::new(
            "scripts",
            &[
                (
                    "share/zeek/base/init-bare.zeek",
                    "redef Management::Agent::name = \"base\";",
                ),
                (
                    "share/zeek/policy/tuning/json-logs.zeek",
                    "event x() {} redef LogAscii::use_json = T;",
                ),
                (
                    "share/zeek/site/local.zeek",
                    "@load base/init-bare\n@load tuning/json-logs\n@load packages\n@load ./testing/own",
                ),
                (
                    "share/zeek/site/packages/__load__.zeek",
                    "@load ./a-package",
                ),
                (
                    "share/zeek/site/packages/a-package/__load__.zeek",
                    "@load ./b",
                ),
                (
                    "share/zeek/site/packages/a-package/b.zeek",
                    "redef Management::Agent::name = \"b\";",
                ),
                (
                    "share/zeek/site/testing/own.zeek",
                    "redef Broker::ssl_cafile = @DIR + \"/ca.pem\";",
                ),
            ],
        );
        let sources = folder.sources();
        let mut given = Given::new(sources.clone());
        let mut loaded = Loaded::default();
        given.load("local", &mut Scripts::new(&sources), &mut loaded);
        assert_eq!(given.errors(), []);
        let shown = given.show(&[crate::settings::Program::Agent]);
        let site = folder.0.join("share/zeek/site");
        let expected = [
            format!(
                "Broker::ssl_cafile = \"{0}/testing/ca.pem\"  # {0}/testing/own.zeek:1\n",
                site.display()
            ),
            format!(
                "Management::Agent::name = \"b\"  # {}/packages/a-package/b.zeek:1\n",
                site.display()
            ),
            format!(
                "LogAscii::use_json = T  # {}/share/zeek/policy/tuning/json-logs.zeek:1\n",
                folder.0.display()
            ),
        ];
        for line in expected {
            assert!(shown.contains(&line), "{line} is not in\n{shown}");
        }
        assert_eq!(loaded.files.len(), 5);
        assert_eq!(loaded.skipped, []);
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        let folder = Folder::new("unreadable", &[("site/a.zeek", ""), ("empty/x", "")]);
        let sources = folder.sources();
        let mut scripts = Scripts::new(&sources);
        let dir = folder.0.display().to_string();
        let missing = scripts.find("./b", Some(&dir));
        assert_eq!(
            missing,
            FoundFile::Missing {
                places: dir.clone()
            }
        );
        // Without Zeek's own scripts here, it may be one of them.
        assert_eq!(scripts.find("tuning/b", Some(&dir)), FoundFile::Unknown);
        assert!(matches!(
            scripts.find("tuning/b", None),
            FoundFile::Missing { .. }
        ));
        let device = scripts.find("/dev/null", None);
        let reason = "it is no ordinary file".to_owned();
        assert_eq!(device, FoundFile::Unreadable { reason });
        let long = folder.0.join("long.zeek");
        fs::File::create(&long)
            .unwrap()
            .set_len(MAX_FILE + 1)
            .unwrap();
        let reason = format!("it is longer than {MAX_FILE} bytes");
        let long = scripts.find(&long.display().to_string(), None);
        assert_eq!(long, FoundFile::Unreadable { reason });
    }
}
