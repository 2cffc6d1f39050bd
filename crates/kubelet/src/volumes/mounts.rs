//! Mounts of volumes: memory file systems, safe bind mounts of paths below a volume, and taking them away.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::stat::{FchmodatFlags, Mode, fchmodat, fstat, mkdirat};

/// Mounts a memory file system, unless there is one already.
pub fn memory(path: &Path, size: Option<u64>) -> io::Result<()> {
    if mounts_below(path)?.iter().any(|mounted| mounted == path) {
        return Ok(());
    }
    let options = size.map_or_else(|| "mode=0777".to_owned(), |bytes| format!("mode=0777,size={bytes}"));
    mount(Some("tmpfs"), path, Some("tmpfs"), MsFlags::MS_NOSUID | MsFlags::MS_NODEV, Some(options.as_str()))?;
    Ok(())
}

/// Makes `sub_path` of the volume visible at `target`. A symbolic link within the volume may be followed, but never out of
/// it; and because it is the opened file that is mounted, nobody can change the way after it was checked.
pub fn bind_below(volume: &Path, sub_path: &Path, target: &Path) -> io::Result<()> {
    if mounts_below(target)?.iter().any(|mounted| mounted == target) {
        return Ok(());
    }
    let opened = open_below(volume, sub_path)?;
    let source = PathBuf::from(format!("/proc/self/fd/{}", opened.as_raw_fd()));
    if let Some(parent) = target.parent() {
        DirBuilder::new().recursive(true).mode(0o750).create(parent)?;
    }
    if fs::metadata(&source)?.is_dir() {
        DirBuilder::new().recursive(true).mode(0o750).create(target)?;
    } else {
        File::create(target)?;
    }
    mount(Some(&source), target, None::<&str>, MsFlags::MS_BIND | MsFlags::MS_REC, None::<&str>)?;
    Ok(())
}

/// Opens a path below the volume; directories that are missing are made.
fn open_below(volume: &Path, sub_path: &Path) -> io::Result<OwnedFd> {
    let mut at: OwnedFd = File::open(volume)?.into();
    let root = at.try_clone()?;
    // Who may use the volume may use what is made in it.
    let mode = Mode::from_bits_truncate(fstat(&root)?.st_mode & 0o3777);
    let how = || {
        OpenHow::new()
            .flags(OFlag::O_PATH | OFlag::O_CLOEXEC)
            .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS)
    };
    match openat2(&root, sub_path, how()) {
        Ok(found) => return Ok(found),
        Err(Errno::ENOENT) => {}
        Err(error) => return Err(error.into()),
    }
    let mut walked = PathBuf::new();
    for part in sub_path.components() {
        let Component::Normal(part) = part else {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{} is no plain path", sub_path.display()),
            ));
        };
        walked.push(part);
        at = match openat2(&root, &walked, how()) {
            Err(Errno::ENOENT) => {
                mkdirat(&at, part, mode)?;
                // The umask took some of it away.
                fchmodat(&at, part, mode, FchmodatFlags::NoFollowSymlink)?;
                openat2(&root, &walked, how())?
            }
            other => other?,
        };
    }
    Ok(at)
}

/// Takes away every mount at the path and below it, and then the files. Never leaves the file system of a mount that
/// could not be taken away.
pub fn remove_tree(path: &Path) -> io::Result<()> {
    // The deepest first.
    for mounted in mounts_below(path)?.iter().rev() {
        match umount2(mounted, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW) {
            Ok(()) | Err(Errno::EINVAL | Errno::ENOENT) => {}
            Err(error) => return Err(error.into()),
        }
    }
    if let Some(left) = mounts_below(path)?.first() {
        return Err(io::Error::other(format!("{} is still mounted", left.display())));
    }
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// In the order in which they were mounted.
fn mounts_below(path: &Path) -> io::Result<Vec<PathBuf>> {
    let table = fs::read_to_string("/proc/self/mountinfo")?;
    let points = table.lines().filter_map(|line| line.split(' ').nth(4)).map(|point| PathBuf::from(unescape(point)));
    Ok(points.filter(|point| point.starts_with(path)).collect())
}

/// The kernel writes a space as `\040`.
fn unescape(text: &str) -> String {
    text.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn a_link_may_stay_within_but_not_lead_out() {
        let dir = tempfile::tempdir().unwrap();
        let (volume, outside) = (dir.path().join("volume"), dir.path().join("outside"));
        fs::create_dir_all(volume.join("real")).unwrap();
        fs::set_permissions(&volume, fs::Permissions::from_mode(0o777)).unwrap();
        fs::create_dir(&outside).unwrap();
        symlink("real", volume.join("inner")).unwrap();
        symlink(&outside, volume.join("absolute")).unwrap();
        symlink("../outside", volume.join("relative")).unwrap();

        assert!(open_below(&volume, Path::new("inner")).is_ok());
        assert!(open_below(&volume, Path::new("new/deep")).is_ok());
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&volume.join("new/deep")), mode(&volume));
        for bad in ["absolute", "absolute/x", "relative", "relative/x", "../outside", "new/../../outside"] {
            assert!(open_below(&volume, Path::new(bad)).is_err(), "{bad}");
        }
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    }
}
