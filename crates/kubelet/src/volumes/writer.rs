//! Writes the files of a volume so that a reader sees all of the old ones or all of the new ones: the files lie in a
//! directory of their own, `..data` is a link to it, and what the pod sees are links through `..data`.

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;

use super::payload::Files;

const DATA: &str = "..data";

/// Does nothing if the volume shows these files already. `group` owns them where it is given.
pub fn write(volume: &Path, files: &Files, group: Option<u32>) -> io::Result<()> {
    let link = volume.join(DATA);
    let old = fs::read_link(&link).ok();
    if old.is_some() && holds(&link, files) {
        return Ok(());
    }
    let name = format!("..{:016x}", rand::random::<u64>());
    let directory = volume.join(&name);
    fs::create_dir(&directory)?;
    fs::set_permissions(&directory, Permissions::from_mode(0o755))?;
    for (path, file) in files {
        let path = directory.join(path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&path, &file.content)?;
        // The group that may use the volume must be able to read it.
        let mode = if group.is_some() { file.mode | 0o440 } else { file.mode };
        fs::set_permissions(&path, Permissions::from_mode(mode))?;
        if group.is_some() {
            chown(&path, None, group)?;
        }
    }
    let fresh = volume.join("..data_tmp");
    let _ = fs::remove_file(&fresh);
    symlink(&name, &fresh)?;
    fs::rename(&fresh, &link)?;
    let tops: BTreeSet<&str> = files.keys().filter_map(|path| path.split('/').next()).collect();
    for top in &tops {
        match symlink(Path::new(DATA).join(top), volume.join(top)) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
    for entry in fs::read_dir(volume)? {
        let entry = entry?;
        let own = entry.file_name();
        let own = own.to_string_lossy();
        if own == DATA || own == name || tops.contains(own.as_ref()) {
            continue;
        }
        if entry.file_type()?.is_dir() { fs::remove_dir_all(entry.path())? } else { fs::remove_file(entry.path())? }
    }
    Ok(())
}

fn holds(data: &Path, files: &Files) -> bool {
    let same = files.iter().all(|(path, file)| fs::read(data.join(path)).is_ok_and(|content| content == file.content));
    same && count(data).is_ok_and(|number| number == files.len())
}

fn count(directory: &Path) -> io::Result<usize> {
    let mut number = 0;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        number += if entry.file_type()?.is_dir() { count(&entry.path())? } else { 1 };
    }
    Ok(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volumes::payload::File;

    fn files(list: &[(&str, &str)]) -> Files {
        let file = |content: &str| File { content: content.as_bytes().to_vec(), mode: 0o640 };
        list.iter().map(|(path, content)| ((*path).to_owned(), file(content))).collect()
    }

    #[test]
    fn a_change_shows_at_once_and_leaves_nothing() {
        let volume = tempfile::tempdir().unwrap();
        let root = volume.path();
        write(root, &files(&[("a", "1"), ("d/b", "2")]), None).unwrap();
        let first = fs::read_link(root.join(DATA)).unwrap();
        assert_eq!(fs::read_to_string(root.join("d/b")).unwrap(), "2");
        assert_eq!(fs::metadata(root.join("a")).unwrap().permissions().mode() & 0o777, 0o640);

        write(root, &files(&[("a", "1"), ("d/b", "2")]), None).unwrap();
        assert_eq!(fs::read_link(root.join(DATA)).unwrap(), first, "nothing changed, so nothing is written");

        write(root, &files(&[("a", "3")]), None).unwrap();
        assert_eq!(fs::read_to_string(root.join("a")).unwrap(), "3");
        let mut names: Vec<_> =
            fs::read_dir(root).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        assert_eq!(names.len(), 3, "{names:?}");
        assert!(!root.join("d").exists());
    }
}
