//! Images: which must be pulled, one pull at a time for each, and patience with those that can't be.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Mutex as AsyncMutex;

use crate::runtime::{Image, Runtime, RuntimeError};

const BACKOFF_FIRST: Duration = Duration::from_secs(10);
const BACKOFF_MOST: Duration = Duration::from_secs(300);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PullPolicy {
    Always,
    IfNotPresent,
    Never,
}

impl PullPolicy {
    pub fn of(policy: Option<&str>) -> Self {
        match policy {
            Some("Always") => Self::Always,
            Some("Never") => Self::Never,
            _ => Self::IfNotPresent,
        }
    }
}

#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ImageError {
    #[error(
        "Failed to apply default image tag \"{image}\": couldn't parse image name \"{image}\": invalid reference format"
    )]
    InvalidName { image: String },
    #[error("Container image \"{image}\" is not present with pull policy of Never")]
    NeverPull { image: String },
    #[error("Failed to pull image \"{image}\": {source}")]
    Pull { image: String, source: RuntimeError },
    #[error("Back-off pulling image \"{image}\": {last}")]
    BackOff { image: String, last: String, until: Timestamp },
    #[error("Failed to inspect image \"{image}\": {source}")]
    Inspect { image: String, source: RuntimeError },
}

impl ImageError {
    /// As a container's status shows it.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::InvalidName { .. } => "InvalidImageName",
            Self::NeverPull { .. } => "ErrImageNeverPull",
            Self::Pull { .. } => "ErrImagePull",
            Self::BackOff { .. } => "ImagePullBackOff",
            Self::Inspect { .. } => "ImageInspectError",
        }
    }
}

/// What a pull did, for those who want to tell of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pulled {
    Present,
    In(Duration),
}

pub struct Images {
    runtime: Arc<dyn Runtime>,
    names: Mutex<HashMap<String, Arc<AsyncMutex<Failures>>>>,
}

#[derive(Default)]
struct Failures {
    delay: Duration,
    until: Option<Timestamp>,
    last: String,
    /// When the newest pull ended well.
    pulled_at: Option<Timestamp>,
}

impl Images {
    pub fn new(runtime: Arc<dyn Runtime>) -> Self {
        Self { runtime, names: Mutex::default() }
    }

    /// The image by its name, pulled if the policy asks for it. `pulling` is called before a pull begins.
    pub async fn ensure(
        &self,
        name: &str,
        policy: PullPolicy,
        pulling: impl FnOnce() + Send,
    ) -> Result<(Image, Pulled), ImageError> {
        let image = || name.to_owned();
        let full = full_name(name).ok_or_else(|| ImageError::InvalidName { image: image() })?;
        if policy != PullPolicy::Always
            && let Some(found) = self.inspect(name).await?
        {
            return Ok((found, Pulled::Present));
        }
        if policy == PullPolicy::Never {
            return Err(ImageError::NeverPull { image: image() });
        }
        let asked_at = Timestamp::now();
        let entry = self.names.lock().expect("no panic holds this lock").entry(full.clone()).or_default().clone();
        let mut failures = entry.lock().await;
        // Another pod's pull that began after we asked for the image is as good as ours.
        let shared = failures.pulled_at.is_some_and(|at| at >= asked_at);
        if !shared {
            if let Some(until) = failures.until.filter(|until| *until > Timestamp::now()) {
                return Err(ImageError::BackOff { image: image(), last: failures.last.clone(), until });
            }
            pulling();
            if let Err(source) = self.runtime.pull(&full).await {
                failures.delay =
                    if failures.delay.is_zero() { BACKOFF_FIRST } else { (failures.delay * 2).min(BACKOFF_MOST) };
                failures.until = Timestamp::now().checked_add(failures.delay).ok();
                let error = ImageError::Pull { image: image(), source };
                failures.last = error.to_string();
                return Err(error);
            }
            *failures = Failures { pulled_at: Some(Timestamp::now()), ..Failures::default() };
        }
        drop(failures);
        let time = Duration::try_from(Timestamp::now().duration_since(asked_at)).unwrap_or_default();
        let missing = || RuntimeError::NotFound(format!("{full} was pulled and is not there"));
        let found = self.inspect(name).await?;
        found
            .map(|found| (found, Pulled::In(time)))
            .ok_or_else(|| ImageError::Inspect { image: image(), source: missing() })
    }

    async fn inspect(&self, name: &str) -> Result<Option<Image>, ImageError> {
        self.runtime.image(name).await.map_err(|source| ImageError::Inspect { image: name.to_owned(), source })
    }
}

/// The name with its tag: without one Docker would pull all tags. None: it is no image's name.
pub fn full_name(name: &str) -> Option<String> {
    let (rest, digest) = match name.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (name, None),
    };
    let slash = rest.rfind('/').map_or(0, |at| at + 1);
    let (path, tag) = match rest[slash..].split_once(':') {
        Some((last, tag)) => (&rest[..slash + last.len()], Some(tag)),
        None => (rest, None),
    };
    let tag_fits = |tag: &str| {
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        tag.len() <= 128 && tag.starts_with(word) && tag.chars().all(|c| word(c) || matches!(c, '.' | '-'))
    };
    let digest_fits = |digest: &str| {
        digest.split_once(':').is_some_and(|(kind, hex)| {
            !kind.is_empty() && hex.len() >= 32 && hex.chars().all(|c| c.is_ascii_hexdigit())
        })
    };
    // The first part is a registry if it looks like a host.
    let is_host = |part: &str| part == "localhost" || part.contains(['.', ':']);
    let path = match path.split_once('/') {
        Some((host, path)) if is_host(host) => path,
        _ => path,
    };
    let part_fits = |part: &str| {
        let letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        part.starts_with(letter)
            && part.ends_with(letter)
            && part.chars().all(|c| letter(c) || matches!(c, '.' | '_' | '-'))
    };
    let fits = path.split('/').all(part_fits) && tag.is_none_or(tag_fits) && digest.is_none_or(digest_fits);
    fits.then(|| if tag.is_none() && digest.is_none() { format!("{name}:latest") } else { name.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::fake::Fake;

    #[test]
    fn names() {
        let digest = format!("redis@sha256:{}", "0a".repeat(32));
        for (name, full) in [
            ("redis", Some("redis:latest")),
            ("redis:7", Some("redis:7")),
            ("kubeguide/redis-master", Some("kubeguide/redis-master:latest")),
            ("127.0.0.1:5000/a/b", Some("127.0.0.1:5000/a/b:latest")),
            ("registry.example.com/a_b/c.d:v1.0-rc", Some("registry.example.com/a_b/c.d:v1.0-rc")),
            (digest.as_str(), Some(digest.as_str())),
            ("Redis", None),
            ("redis:", None),
            ("redis:a b", None),
            ("", None),
            ("/redis", None),
            ("a//b", None),
            ("redis@sha256:zz", None),
            ("-x", None),
        ] {
            assert_eq!(full_name(name).as_deref(), full, "{name}");
        }
    }

    #[tokio::test]
    async fn policies_and_patience() {
        let fake = Arc::new(Fake::default());
        let images = Images::new(fake.clone());
        let ensure = |name: &'static str, policy| images.ensure(name, policy, || ());
        assert_eq!(ensure("a", PullPolicy::Never).await.unwrap_err().reason(), "ErrImageNeverPull");
        assert_eq!(ensure("A", PullPolicy::Always).await.unwrap_err().reason(), "InvalidImageName");
        assert!(matches!(ensure("a:1", PullPolicy::IfNotPresent).await.unwrap().1, Pulled::In(_)));
        assert_eq!(ensure("a:1", PullPolicy::IfNotPresent).await.unwrap().1, Pulled::Present);
        assert!(ensure("a:1", PullPolicy::Never).await.is_ok());
        fake.lacks_image("b:latest");
        assert_eq!(ensure("b", PullPolicy::Always).await.unwrap_err().reason(), "ErrImagePull");
        assert_eq!(ensure("b", PullPolicy::Always).await.unwrap_err().reason(), "ImagePullBackOff");
    }
}
