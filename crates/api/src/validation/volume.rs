//! The rules for volumes of pods: one source each, and what each kind of source needs.

use std::collections::HashSet;

use k8s_openapi::api::core::v1::{
    DownwardAPIVolumeFile, KeyToPath, PodCertificateProjection, ProjectedVolumeSource, ServiceAccountTokenProjection,
    Volume,
};
use serde_json::Value;

use super::checks::{between, descending, named, no_backsteps, non_reserved, required, supported_if_set};
use super::{env, names};
use crate::field::{Errors, Path};
use crate::quantity::Quantity;
use crate::strategy::signer;

const MODE: &str = "must be a number between 0 and 0777 (octal), both inclusive";
const HOST_PATH_TYPES: [&str; 8] =
    ["", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"];

/// Fields that a source cannot do without, for the kinds that have no other rules.
const NEEDED: [(&str, &[&str]); 22] = [
    ("awsElasticBlockStore", &["volumeID"]),
    ("azureDisk", &["diskName", "diskURI"]),
    ("azureFile", &["secretName", "shareName"]),
    ("cephfs", &["monitors"]),
    ("cinder", &["volumeID"]),
    ("csi", &["driver"]),
    ("ephemeral", &["volumeClaimTemplate"]),
    ("flexVolume", &["driver"]),
    ("gcePersistentDisk", &["pdName"]),
    ("gitRepo", &["repository"]),
    ("glusterfs", &["endpoints", "path"]),
    ("hostPath", &["path"]),
    ("image", &[]),
    ("iscsi", &["targetPortal", "iqn"]),
    ("nfs", &["server", "path"]),
    ("persistentVolumeClaim", &["claimName"]),
    ("photonPersistentDisk", &["pdID"]),
    ("portworxVolume", &["volumeID"]),
    ("quobyte", &["registry", "volume"]),
    ("rbd", &["monitors", "image"]),
    ("scaleIO", &["gateway", "system", "secretRef"]),
    ("vsphereVolume", &["volumePath"]),
];

/// The names of all volumes, whether or not they are right.
pub fn validate<'a>(volumes: &'a [Volume], path: &Path<'_>, errors: &mut Errors) -> HashSet<&'a str> {
    let mut seen = HashSet::new();
    for (at, volume) in volumes.iter().enumerate() {
        let path = path.index(at);
        source(volume, &path, errors);
        let name = path.child("name");
        named(&volume.name, names::dns_label, &name, errors);
        if !seen.insert(volume.name.as_str()) && !volume.name.is_empty() {
            errors.duplicate(&name, volume.name.as_str());
        }
    }
    seen
}

fn source(volume: &Volume, path: &Path<'_>, errors: &mut Errors) {
    let fields = serde_json::to_value(volume).unwrap_or_default();
    let sources: Vec<(&String, &Value)> =
        fields.as_object().into_iter().flatten().filter(|(name, _)| *name != "name").collect();
    if sources.is_empty() {
        errors.required(path, "must specify a volume type");
    }
    for (at, (kind, fields)) in sources.into_iter().enumerate() {
        let path = path.child(kind);
        if at > 0 {
            errors.forbidden(&path, "may not specify more than 1 volume type");
            continue;
        }
        let needed = NEEDED.iter().find(|(name, _)| name == kind).map_or(&[][..], |(_, needed)| needed);
        for field in needed {
            let missing = match fields.get(*field) {
                None | Some(Value::Null) => true,
                Some(Value::String(text)) => text.is_empty(),
                Some(Value::Array(items)) => items.is_empty(),
                Some(_) => false,
            };
            if missing {
                errors.required(&path.child(field), "");
            }
        }
        specific(volume, &path, errors);
    }
}

/// Only the kind that the volume has says anything; `path` leads to it.
fn specific(volume: &Volume, path: &Path<'_>, errors: &mut Errors) {
    if let Some(host) = &volume.host_path {
        no_backsteps(&host.path, &path.child("path"), errors);
        supported_if_set(host.type_.as_deref(), &HOST_PATH_TYPES, &path.child("type"), errors);
    } else if let Some(empty) = &volume.empty_dir {
        if let Some(limit) = &empty.size_limit
            && Quantity::try_from(limit).is_ok_and(Quantity::is_negative)
        {
            errors.forbidden(&path.child("sizeLimit"), "SizeLimit field must be a valid resource quantity");
        }
        let medium = empty.medium.as_deref().unwrap_or("");
        if !["", "Memory", "HugePages"].contains(&medium) && !medium.starts_with("HugePages-") {
            errors.not_supported(&path.child("medium"), medium, &["", "HugePages", "Memory"]);
        }
        mode(empty.mode, &path.child("mode"), errors);
    } else if let Some(secret) = &volume.secret {
        required(secret.secret_name.as_deref().unwrap_or(""), &path.child("secretName"), errors);
        mode(secret.default_mode, &path.child("defaultMode"), errors);
        items(secret.items.as_deref(), &path.child("items"), errors);
    } else if let Some(config) = &volume.config_map {
        required(&config.name, &path.child("name"), errors);
        mode(config.default_mode, &path.child("defaultMode"), errors);
        items(config.items.as_deref(), &path.child("items"), errors);
    } else if let Some(downward) = &volume.downward_api {
        mode(downward.default_mode, &path.child("defaultMode"), errors);
        let path = path.child("items");
        for (at, file) in downward.items.iter().flatten().enumerate() {
            downward_file(file, &path.index(at), errors);
        }
    } else if let Some(projected) = &volume.projected {
        sources(projected, path, errors);
    } else if let Some(nfs) = &volume.nfs {
        if !nfs.path.is_empty() && !nfs.path.starts_with('/') {
            errors.invalid(&path.child("path"), nfs.path.as_str(), "must be an absolute path");
        }
    } else if let Some(git) = &volume.git_repo {
        descending(git.directory.as_deref().unwrap_or(""), &path.child("directory"), errors);
    } else if let Some(disk) = &volume.gce_persistent_disk {
        between(disk.partition.filter(|p| *p != 0).map(i64::from), (1, 255), &path.child("partition"), errors);
    } else if let Some(disk) = &volume.aws_elastic_block_store {
        between(disk.partition.filter(|p| *p != 0).map(i64::from), (1, 255), &path.child("partition"), errors);
    } else if let Some(iscsi) = &volume.iscsi {
        between(Some(i64::from(iscsi.lun)), (0, 255), &path.child("lun"), errors);
    } else if let Some(image) = &volume.image {
        required(image.reference.as_deref().unwrap_or(""), &path.child("reference"), errors);
        let policies = ["Always", "IfNotPresent", "Never"];
        supported_if_set(image.pull_policy.as_deref(), &policies, &path.child("pullPolicy"), errors);
    }
}

fn mode(mode: Option<i32>, path: &Path<'_>, errors: &mut Errors) {
    if let Some(mode) = mode.filter(|mode| !(0..=0o777).contains(mode)) {
        errors.invalid(path, mode, MODE);
    }
}

fn items(items: Option<&[KeyToPath]>, path: &Path<'_>, errors: &mut Errors) {
    for (at, item) in items.unwrap_or_default().iter().enumerate() {
        let path = path.index(at);
        required(&item.key, &path.child("key"), errors);
        required(&item.path, &path.child("path"), errors);
        non_reserved(&item.path, &path.child("path"), errors);
        mode(item.mode, &path.child("mode"), errors);
    }
}

fn downward_file(file: &DownwardAPIVolumeFile, path: &Path<'_>, errors: &mut Errors) {
    required(&file.path, &path.child("path"), errors);
    non_reserved(&file.path, &path.child("path"), errors);
    if let Some(field) = &file.field_ref {
        env::field_ref(field, &env::VOLUME_FIELDS, &path.child("fieldRef"), errors);
        if file.resource_field_ref.is_some() {
            let why = "fieldRef and resourceFieldRef can not be specified simultaneously";
            errors.invalid(path, "resource", why);
        }
    } else if let Some(resource) = &file.resource_field_ref {
        env::resource_field_ref(resource, true, &path.child("resourceFieldRef"), errors);
    } else {
        errors.required(path, "one of fieldRef and resourceFieldRef is required");
    }
    mode(file.mode, &path.child("mode"), errors);
}

fn sources(projected: &ProjectedVolumeSource, path: &Path<'_>, errors: &mut Errors) {
    mode(projected.default_mode, &path.child("defaultMode"), errors);
    let list = path.child("sources");
    let mut taken: HashSet<&str> = HashSet::new();
    for (at, source) in projected.sources.iter().flatten().enumerate() {
        let path = list.index(at);
        let mut one = One::default();
        let mut paths: Vec<&str> = Vec::new();
        if let Some(secret) = &source.secret
            && one.first(&path.child("secret"), errors)
        {
            let path = path.child("secret");
            required(&secret.name, &path.child("name"), errors);
            items(secret.items.as_deref(), &path.child("items"), errors);
            paths.extend(secret.items.iter().flatten().map(|item| item.path.as_str()));
        }
        if let Some(config) = &source.config_map
            && one.first(&path.child("configMap"), errors)
        {
            let path = path.child("configMap");
            required(&config.name, &path.child("name"), errors);
            items(config.items.as_deref(), &path.child("items"), errors);
            paths.extend(config.items.iter().flatten().map(|item| item.path.as_str()));
        }
        if let Some(downward) = &source.downward_api
            && one.first(&path.child("downwardAPI"), errors)
        {
            let path = path.child("downwardAPI");
            let path = path.child("items");
            for (at, file) in downward.items.iter().flatten().enumerate() {
                downward_file(file, &path.index(at), errors);
                paths.push(&file.path);
            }
        }
        if let Some(token) = &source.service_account_token
            && one.first(&path.child("serviceAccountToken"), errors)
        {
            service_account_token(token, &path.child("serviceAccountToken"), errors);
            paths.push(&token.path);
        }
        if let Some(bundle) = &source.cluster_trust_bundle
            && one.first(&path.child("clusterTrustBundle"), errors)
        {
            let path = path.child("clusterTrustBundle");
            required(&bundle.path, &path.child("path"), errors);
            non_reserved(&bundle.path, &path.child("path"), errors);
            paths.push(&bundle.path);
        }
        if let Some(certificate) = &source.pod_certificate
            && one.first(&path.child("podCertificate"), errors)
        {
            pod_certificate(certificate, &path.child("podCertificate"), errors);
            let files =
                [&certificate.credential_bundle_path, &certificate.key_path, &certificate.certificate_chain_path];
            paths.extend(files.into_iter().flatten().map(String::as_str));
        }
        for place in paths.into_iter().filter(|place| !place.is_empty()) {
            if !taken.insert(place) {
                errors.invalid(&path, place, "conflicting duplicate paths");
            }
        }
    }
}

/// Counts what stands where one thing only may stand.
#[derive(Default)]
struct One(bool);

impl One {
    fn first(&mut self, path: &Path<'_>, errors: &mut Errors) -> bool {
        if self.0 {
            errors.forbidden(path, "may not specify more than 1 volume type per source");
        }
        !std::mem::replace(&mut self.0, true)
    }
}

fn pod_certificate(certificate: &PodCertificateProjection, path: &Path<'_>, errors: &mut Errors) {
    const KEY_TYPES: [&str; 6] = ["RSA3072", "RSA4096", "ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519"];
    signer(&certificate.signer_name, &path.child("signerName"), errors);
    if !KEY_TYPES.contains(&&*certificate.key_type) {
        errors.not_supported(&path.child("keyType"), &certificate.key_type, &KEY_TYPES);
    }
    if let Some(seconds) = certificate.max_expiration_seconds {
        let path = path.child("maxExpirationSeconds");
        if seconds < 3600 {
            errors.invalid(&path, seconds, "if provided, maxExpirationSeconds must be >= 3600");
        }
        let host = certificate.signer_name.split('/').next().unwrap_or("");
        let kubernetes = host == "kubernetes.io" || host.ends_with(".kubernetes.io");
        let most = if kubernetes { 24 * 3600 } else { 91 * 24 * 3600 };
        if seconds > most {
            errors.invalid(&path, seconds, format!("if provided, maxExpirationSeconds must be <= {most}"));
        }
    }
    let files = [
        ("credentialBundlePath", &certificate.credential_bundle_path),
        ("keyPath", &certificate.key_path),
        ("certificateChainPath", &certificate.certificate_chain_path),
    ];
    let mut none = true;
    for (field, file) in files {
        if let Some(file) = file.as_deref().filter(|file| !file.is_empty()) {
            none = false;
            non_reserved(file, &path.child(field), errors);
        }
    }
    if none {
        errors.required(path, "specify at least one of credentialBundlePath, keyPath, and certificateChainPath");
    }
}

fn service_account_token(token: &ServiceAccountTokenProjection, path: &Path<'_>, errors: &mut Errors) {
    if let Some(seconds) = token.expiration_seconds {
        let path = path.child("expirationSeconds");
        if seconds < 600 {
            errors.invalid(&path, seconds, "may not specify a duration less than 10 minutes");
        }
        if seconds > 1 << 32 {
            errors.invalid(&path, seconds, "may not specify a duration larger than 2^32 seconds");
        }
    }
    required(&token.path, &path.child("path"), errors);
    non_reserved(&token.path, &path.child("path"), errors);
}
