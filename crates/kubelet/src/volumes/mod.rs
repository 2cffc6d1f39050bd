//! The volumes of a pod on this node: makes them before the containers, and takes them away after. Owns the pod's
//! directory below the kubelet's root.

mod mounts;
pub mod payload;
mod writer;

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use api::quantity::Quantity;
use k8s_openapi::api::core::v1::{Container, HostPathVolumeSource, Pod, Volume, VolumeMount};

use crate::environment::expand;
use crate::environment::fields::{FieldError, NodeFacts};
use crate::environment::{EnvironmentError, Objects};
use crate::pod;
use crate::runtime::Mount;

#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    #[error("configmap \"{0}\" not found")]
    ConfigMap(String),
    #[error("secret \"{0}\" not found")]
    Secret(String),
    #[error("{kind} \"{name}\" references non-existent key: {key}")]
    Key { kind: &'static str, name: String, key: String },
    #[error("volume {volume}: the path {path} leads out of it")]
    Path { volume: String, path: String },
    #[error("volume {volume}: this kubelet does not support {kind}")]
    Unsupported { volume: String, kind: &'static str },
    #[error("hostPath type check failed: {} is not {expected}", path.display())]
    HostPath { path: PathBuf, expected: &'static str },
    #[error("mount {mount}: the pod has no volume of this name")]
    NoVolume { mount: String },
    #[error(transparent)]
    Field(#[from] FieldError),
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> VolumeError + '_ {
    move |source| VolumeError::Io { path: path.to_owned(), source }
}

/// Where the volumes of one pod are.
#[derive(Clone, Debug)]
pub struct PodDirectory(PathBuf);

impl PodDirectory {
    pub fn new(root: &Path, uid: &str) -> Self {
        Self(root.join("pods").join(uid))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Makes all volumes of the pod, or brings them up to date.
    pub fn prepare(&self, pod: &Pod, objects: &Objects, node: &NodeFacts) -> Result<(), VolumeError> {
        let group = pod::spec(pod).security_context.as_ref().and_then(|context| context.fs_group);
        let group = group.and_then(|group| u32::try_from(group).ok());
        for volume in pod::spec(pod).volumes.iter().flatten() {
            self.prepare_one(pod, volume, objects, node, group)?;
        }
        Ok(())
    }

    fn prepare_one(
        &self,
        pod: &Pod,
        volume: &Volume,
        objects: &Objects,
        node: &NodeFacts,
        group: Option<u32>,
    ) -> Result<(), VolumeError> {
        if let Some(host) = &volume.host_path {
            return host_path(host);
        }
        let path = self.volume(volume)?;
        let made = !path.exists();
        DirBuilder::new().recursive(true).mode(0o750).create(&path).map_err(at(&path))?;
        // The containers' users must be able to pass through.
        fs::set_permissions(&self.0, Permissions::from_mode(0o750)).map_err(at(&self.0))?;
        if let Some(source) = &volume.empty_dir {
            if source.medium.as_deref() == Some("Memory") {
                let size = source.size_limit.as_ref().and_then(|q| Quantity::try_from(q).ok());
                mounts::memory(&path, size.and_then(|q| u64::try_from(q.value()).ok())).map_err(at(&path))?;
            }
            if made {
                own(&path, 0o777, group)?;
            }
            return Ok(());
        }
        let Some(files) = payload::files(pod, volume, objects, node)? else { return Ok(()) };
        if volume.secret.is_some() {
            // Secrets never touch the disk.
            mounts::memory(&path, None).map_err(at(&path))?;
        }
        own(&path, 0o755, None)?;
        writer::write(&path, &files, group).map_err(at(&path))
    }

    /// The directory of a volume that is the pod's own.
    fn volume(&self, volume: &Volume) -> Result<PathBuf, VolumeError> {
        let kind = match volume {
            Volume { empty_dir: Some(_), .. } => "empty-dir",
            Volume { config_map: Some(_), .. } => "configmap",
            Volume { secret: Some(_), .. } => "secret",
            Volume { downward_api: Some(_), .. } => "downward-api",
            Volume { projected: Some(_), .. } => "projected",
            _ => {
                let kind =
                    "this kind of volume (only emptyDir, hostPath, configMap, secret, downwardAPI and projected)";
                return Err(VolumeError::Unsupported { volume: volume.name.clone(), kind });
            }
        };
        Ok(self.0.join("volumes").join(format!("kubernetes.io~{kind}")).join(&volume.name))
    }

    /// What the container mounts. Paths below a volume are made and checked here.
    pub fn mounts(
        &self,
        pod: &Pod,
        container: &Container,
        env: &[(String, String)],
    ) -> Result<Vec<Mount>, VolumeError> {
        let volumes = pod::spec(pod).volumes.as_deref().unwrap_or_default();
        let mut found = Vec::new();
        for (index, mount) in container.volume_mounts.iter().flatten().enumerate() {
            let volume = volumes.iter().find(|volume| volume.name == mount.name);
            let volume = volume.ok_or_else(|| VolumeError::NoVolume { mount: mount.name.clone() })?;
            let source = match &volume.host_path {
                Some(host) => PathBuf::from(&host.path),
                None => self.volume(volume)?,
            };
            let source = match sub_path(mount, env) {
                Some(sub_path) => {
                    let target =
                        self.0.join("volume-subpaths").join(&volume.name).join(&container.name).join(index.to_string());
                    mounts::bind_below(&source, Path::new(&sub_path), &target).map_err(at(&source.join(&sub_path)))?;
                    target
                }
                None => source,
            };
            found.push(Mount {
                host_path: source.to_string_lossy().into_owned(),
                container_path: mount.mount_path.clone(),
                read_only: mount.read_only.unwrap_or(false) || volume.config_map.is_some() || volume.secret.is_some(),
                propagation: match mount.mount_propagation.as_deref() {
                    Some("HostToContainer") => Some("rslave"),
                    Some("Bidirectional") => Some("rshared"),
                    _ => None,
                },
            });
        }
        Ok(found)
    }

    /// The file into which a container may write its last words; a new one for each attempt.
    pub fn last_words(&self, container: &str, attempt: i32) -> Result<PathBuf, VolumeError> {
        let directory = self.0.join("containers").join(container);
        DirBuilder::new().recursive(true).mode(0o750).create(&directory).map_err(at(&directory))?;
        let path = directory.join(attempt.to_string());
        fs::write(&path, "").map_err(at(&path))?;
        fs::set_permissions(&path, Permissions::from_mode(0o666)).map_err(at(&path))?;
        Ok(path)
    }

    /// What the attempt wrote; None if it wrote nothing.
    pub fn read_last_words(&self, container: &str, attempt: i32) -> Option<String> {
        const MOST: usize = 4096;
        let text = fs::read(self.0.join("containers").join(container).join(attempt.to_string())).ok()?;
        let tail = &text[text.len().saturating_sub(MOST)..];
        Some(String::from_utf8_lossy(tail).into_owned()).filter(|text| !text.is_empty())
    }

    /// Everything of the pod goes.
    pub fn remove(&self) -> Result<(), VolumeError> {
        mounts::remove_tree(&self.0).map_err(at(&self.0))
    }
}

/// The uids of pods that have a directory.
pub fn known_pods(root: &Path) -> Vec<String> {
    let entries = fs::read_dir(root.join("pods")).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

fn sub_path(mount: &VolumeMount, env: &[(String, String)]) -> Option<String> {
    let known = |name: &str| env.iter().find(|(n, _)| n == name).map(|(_, value)| value.clone());
    let given = mount.sub_path.clone().filter(|path| !path.is_empty());
    given.or_else(|| mount.sub_path_expr.as_deref().filter(|path| !path.is_empty()).map(|path| expand(path, known)))
}

fn own(path: &Path, mode: u32, group: Option<u32>) -> Result<(), VolumeError> {
    if group.is_some() {
        chown(path, None, group).map_err(at(path))?;
    }
    // New files of a shared volume belong to its group.
    let mode = if group.is_some() { mode | 0o2070 } else { mode };
    fs::set_permissions(path, Permissions::from_mode(mode)).map_err(at(path))
}

fn host_path(source: &HostPathVolumeSource) -> Result<(), VolumeError> {
    let path = Path::new(&source.path);
    let kind = source.type_.as_deref().unwrap_or_default();
    match kind {
        "DirectoryOrCreate" if !path.exists() => {
            return DirBuilder::new().recursive(true).mode(0o755).create(path).map_err(at(path));
        }
        "FileOrCreate" if !path.exists() => return fs::write(path, "").map_err(at(path)),
        _ => {}
    }
    let found = fs::metadata(path).map(|meta| meta.file_type());
    let is = |test: fn(&fs::FileType) -> bool| found.as_ref().is_ok_and(test);
    let (fits, expected) = match kind {
        "Directory" | "DirectoryOrCreate" => (is(fs::FileType::is_dir), "a directory"),
        "File" | "FileOrCreate" => (is(fs::FileType::is_file), "a file"),
        "Socket" => (is(FileTypeExt::is_socket), "a socket"),
        "CharDevice" => (is(FileTypeExt::is_char_device), "a character device"),
        "BlockDevice" => (is(FileTypeExt::is_block_device), "a block device"),
        // As Docker has always done it: what is missing is made a directory.
        _ if found.is_err() => return DirBuilder::new().recursive(true).mode(0o755).create(path).map_err(at(path)),
        _ => (true, ""),
    };
    if fits { Ok(()) } else { Err(VolumeError::HostPath { path: path.to_owned(), expected }) }
}
