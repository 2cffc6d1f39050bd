//! The cluster's certificates: an authority, a certificate for each daemon, one for the administrator, and the
//! kubeconfig files that hold them. Made once; later runs find them.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use time::{Duration, OffsetDateTime};

use crate::process::Error;

/// Where the files lie.
#[derive(Clone, Debug)]
pub struct Pki {
    pub folder: PathBuf,
}

/// Whom a certificate is for.
struct Subject<'a> {
    file: &'a str,
    user: &'a str,
    group: &'a str,
    /// Names and addresses, for servers.
    hosts: &'a [String],
}

/// What signs tokens of service accounts.
const SERVICE_ACCOUNT_KEY: &str = "service-account.key";
/// What verifies them; ours reads it out of the key, other servers want a file.
const SERVICE_ACCOUNT_PUBLIC_KEY: &str = "service-account.pub";

impl Pki {
    /// Makes what is missing. `hosts`: further names and addresses of this machine, for the servers' certificates.
    pub fn ensure(folder: &Path, node: &str, hosts: &[IpAddr], service_ip: &str) -> Result<Self, Error> {
        let pki = Self { folder: folder.to_owned() };
        let made = folder.join("made");
        let mut server_hosts: Vec<String> =
            ["localhost", "127.0.0.1", "::1", service_ip, node].map(str::to_owned).into();
        server_hosts.extend(hosts.iter().map(ToString::to_string));
        for name in
            ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"]
        {
            server_hosts.push(name.to_owned());
        }
        // What the files were made for; another machine name or address needs others.
        let want = server_hosts.join("\n");
        let whole = folder.join(SERVICE_ACCOUNT_PUBLIC_KEY).exists();
        if whole && fs::read_to_string(&made).is_ok_and(|text| text == want) {
            return Ok(pki);
        }
        fs::create_dir_all(folder).map_err(|e| Error::file(folder, e))?;
        let (authority, pem) = authority()?;
        pki.write("ca.crt", &pem)?;
        let node_user = format!("system:node:{node}");
        for subject in [
            Subject { file: "apiserver", user: "kube-apiserver", group: "", hosts: &server_hosts },
            Subject {
                file: "apiserver-kubelet-client",
                user: "kube-apiserver-kubelet-client",
                group: "system:masters",
                hosts: &[],
            },
            Subject { file: "admin", user: "kubernetes-admin", group: "system:masters", hosts: &[] },
            Subject { file: "kube-controller-manager", user: "system:kube-controller-manager", group: "", hosts: &[] },
            Subject { file: "kube-scheduler", user: "system:kube-scheduler", group: "", hosts: &[] },
            Subject { file: "kube-proxy", user: "system:kube-proxy", group: "", hosts: &[] },
            Subject { file: "kubelet", user: &node_user, group: "system:nodes", hosts: &server_hosts },
        ] {
            pki.issue(&authority, &subject)?;
        }
        let key = KeyPair::generate().map_err(Error::certificate)?;
        pki.write(SERVICE_ACCOUNT_KEY, &key.serialize_pem())?;
        pki.write(SERVICE_ACCOUNT_PUBLIC_KEY, &key.public_key_pem())?;
        pki.write("made", &want)?;
        Ok(pki)
    }

    pub fn path(&self, file: &str) -> PathBuf {
        self.folder.join(file)
    }

    fn write(&self, file: &str, text: &str) -> Result<(), Error> {
        use std::os::unix::fs::OpenOptionsExt;
        let path = self.path(file);
        let _ = fs::remove_file(&path);
        let mut options = fs::OpenOptions::new();
        let opened = options.write(true).create_new(true).mode(0o600).open(&path);
        let written = opened.and_then(|mut file| std::io::Write::write_all(&mut file, text.as_bytes()));
        written.map_err(|e| Error::file(&path, e))
    }

    fn issue(&self, authority: &Issuer<'_, KeyPair>, subject: &Subject<'_>) -> Result<(), Error> {
        let mut params = params(subject.user, subject.group);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        if !subject.hosts.is_empty() {
            params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
        }
        for host in subject.hosts {
            params.subject_alt_names.push(match host.parse::<IpAddr>() {
                Ok(ip) => SanType::IpAddress(ip),
                Err(_) => SanType::DnsName(host.as_str().try_into().map_err(Error::certificate)?),
            });
        }
        let key = KeyPair::generate().map_err(Error::certificate)?;
        let certificate = params.signed_by(&key, authority).map_err(Error::certificate)?;
        self.write(&format!("{}.crt", subject.file), &certificate.pem())?;
        self.write(&format!("{}.key", subject.file), &key.serialize_pem())
    }

    /// A kubeconfig for one of the certificates, with everything inside, so that it can be taken to another host.
    pub fn kubeconfig(&self, who: &str, server: &str, to: &Path) -> Result<(), Error> {
        let read = |file: String| {
            let path = self.path(&file);
            fs::read(&path).map(|pem| base64(&pem)).map_err(|e| Error::file(&path, e))
        };
        let config = serde_json::json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "pilothouse",
            "clusters": [{"name": "pilothouse",
                "cluster": {"server": server, "certificate-authority-data": read("ca.crt".into())?}}],
            "contexts": [{"name": "pilothouse", "context": {"cluster": "pilothouse", "user": who}}],
            "users": [{"name": who, "user": {"client-certificate-data": read(format!("{who}.crt"))?,
                "client-key-data": read(format!("{who}.key"))?}}],
        });
        let name = to.file_name().and_then(|name| name.to_str()).unwrap_or("kubeconfig").to_owned();
        let folder = to.parent().unwrap_or(&self.folder).to_owned();
        // JSON is YAML.
        Self { folder }.write(&name, &format!("{config:#}\n"))
    }
}

fn params(user: &str, group: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, user);
    if !group.is_empty() {
        name.push(DnType::OrganizationName, group);
    }
    params.distinguished_name = name;
    // Clocks of other hosts may be a little behind.
    params.not_before = OffsetDateTime::now_utc() - Duration::hours(1);
    params.not_after = OffsetDateTime::now_utc() + Duration::days(3650);
    params
}

fn authority() -> Result<(Issuer<'static, KeyPair>, String), Error> {
    let mut params = params("pilothouse-ca", "");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    let key = KeyPair::generate().map_err(Error::certificate)?;
    let pem = params.self_signed(&key).map_err(Error::certificate)?.pem();
    Ok((Issuer::new(params, key), pem))
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
