//! The files of the project, read once.

use std::{fs, path::Path};

use crate::run;

/// Every file that git tracks or would track.
pub(super) struct Tree {
    pub(super) files: Vec<File>,
}

pub(super) struct File {
    /// Inside the workspace, with `/` between the parts.
    pub(super) path: String,
    pub(super) content: Content,
}

pub(super) enum Content {
    Text(String),
    Binary { len: usize },
}

impl Tree {
    pub(super) fn read(root: &Path) -> Result<Self, String> {
        let mut git = std::process::Command::new("git");
        git.current_dir(root);
        git.args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ]);
        let listing = String::from_utf8_lossy(&run::output(git)?).into_owned();
        let mut paths: Vec<&str> = listing
            .split('\0')
            .filter(|path| !path.is_empty())
            .collect();
        paths.sort_unstable();
        paths.dedup();
        let mut files = Vec::with_capacity(paths.len());
        for path in paths {
            // A tracked file that is deleted but not committed yet is on its way out.
            if root.join(path).is_file() {
                files.push(File::read(root, path)?);
            }
        }
        Ok(Self { files })
    }

    pub(super) fn text(&self, path: &str) -> Option<&str> {
        self.files.iter().find(|file| file.path == path)?.text()
    }

    /// The Rust sources with their text.
    pub(super) fn rust(&self) -> impl Iterator<Item = (&File, &str)> {
        self.texts().filter(|(file, _)| file.path.ends_with(".rs"))
    }

    pub(super) fn texts(&self) -> impl Iterator<Item = (&File, &str)> {
        self.files
            .iter()
            .filter_map(|file| Some((file, file.text()?)))
    }

    /// Whether `path` is a file or a folder of the project; the empty path is its root.
    pub(super) fn has(&self, path: &str) -> bool {
        path.is_empty()
            || self.files.iter().any(|file| {
                file.path
                    .strip_prefix(path)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            })
    }
}

impl File {
    fn read(root: &Path, path: &str) -> Result<Self, String> {
        let bytes =
            fs::read(root.join(path)).map_err(|error| format!("cannot read {path}: {error}"))?;
        let content = match String::from_utf8(bytes) {
            Ok(text) if !text.contains('\0') => Content::Text(text),
            Ok(text) => Content::Binary { len: text.len() },
            Err(error) => Content::Binary {
                len: error.as_bytes().len(),
            },
        };
        Ok(Self {
            path: path.to_owned(),
            content,
        })
    }

    pub(super) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    pub(super) fn text(&self) -> Option<&str> {
        match &self.content {
            Content::Text(text) => Some(text),
            Content::Binary { .. } => None,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        match &self.content {
            Content::Text(text) => text.is_empty(),
            Content::Binary { len } => *len == 0,
        }
    }
}

#[cfg(test)]
impl Tree {
    /// A tree made of paths and texts, for the checks' own tests.
    pub(super) fn of(files: &[(&str, &str)]) -> Self {
        let files = files
            .iter()
            .map(|(path, text)| File {
                path: (*path).to_owned(),
                content: Content::Text((*text).to_owned()),
            })
            .collect();
        Self { files }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_knows_its_files_and_folders() {
        let tree = Tree::of(&[("docs/book/cli.md", "")]);
        assert!(tree.has(""));
        assert!(tree.has("docs"));
        assert!(tree.has("docs/book/cli.md"));
        assert!(!tree.has("doc"));
    }
}
