//! Keys of service account tokens: what signs them, what verifies them, and how others come to know the latter (JWKS).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RsaKeyPair,
};
use rustls_pemfile::Item;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("can't be read: {0}")]
    Read(#[from] std::io::Error),
    #[error("holds no key in PEM")]
    NoKey,
    #[error("a key can't be used: {0}; RSA keys and those on the curves P-256 and P-384 can")]
    Unusable(String),
    #[error("holds no private key")]
    NotPrivate,
}

/// A key that tokens are verified with.
#[derive(Clone)]
pub struct VerifyingKey {
    pub id: String,
    pub algorithm: Algorithm,
    pub key: DecodingKey,
    /// As JWKS shows it.
    pub jwk: Value,
}

/// The key that tokens are signed with.
pub struct SigningKey {
    key: EncodingKey,
    pub public: VerifyingKey,
}

impl SigningKey {
    pub fn read(pem: &[u8]) -> Result<Self, KeyError> {
        let private = items(pem)?.into_iter().find_map(|item| private(&item).transpose());
        let (key, spki) = private.ok_or(KeyError::NotPrivate)??;
        Ok(Self { key, public: VerifyingKey::of_spki(&spki)? })
    }

    pub fn sign(&self, claims: &Value) -> Result<String, jsonwebtoken::errors::Error> {
        let header = Header { kid: Some(self.public.id.clone()), typ: None, ..Header::new(self.public.algorithm) };
        jsonwebtoken::encode(&header, claims, &self.key)
    }
}

impl VerifyingKey {
    /// All keys of a file, public ones and the public parts of private ones.
    pub fn read(pem: &[u8]) -> Result<Vec<Self>, KeyError> {
        let mut keys = Vec::new();
        for item in items(pem)? {
            if let Item::SubjectPublicKeyInfo(spki) = &item {
                keys.push(Self::of_spki(spki)?);
            } else if let Item::X509Certificate(certificate) = &item {
                let (_, certificate) = x509_parser::parse_x509_certificate(certificate).map_err(unusable)?;
                keys.push(Self::of_spki(certificate.public_key().raw)?);
            } else if let Some((_, spki)) = private(&item)? {
                keys.push(Self::of_spki(&spki)?);
            }
        }
        if keys.is_empty() { Err(KeyError::NoKey) } else { Ok(keys) }
    }

    /// The identifier is the hash of the key, as upstream makes it.
    fn of_spki(der: &[u8]) -> Result<Self, KeyError> {
        let id = URL_SAFE_NO_PAD.encode(Sha256::digest(der));
        let (_, spki) = SubjectPublicKeyInfo::from_der(der).map_err(unusable)?;
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match spki.parsed().map_err(unusable)? {
            PublicKey::RSA(rsa) => {
                let strip = |bytes: &[u8]| bytes.iter().copied().skip_while(|byte| *byte == 0).collect::<Vec<u8>>();
                let (n, e) = (strip(rsa.modulus), strip(rsa.exponent));
                let jwk =
                    json!({"use": "sig", "kty": "RSA", "kid": id, "alg": "RS256", "n": encode(&n), "e": encode(&e)});
                Ok(Self { id, algorithm: Algorithm::RS256, key: DecodingKey::from_rsa_raw_components(&n, &e), jwk })
            }
            PublicKey::EC(point) => {
                let data = point.data();
                let (algorithm, curve) = match data.len() {
                    65 => (Algorithm::ES256, "P-256"),
                    97 => (Algorithm::ES384, "P-384"),
                    _ => return Err(KeyError::Unusable("it is on another curve".into())),
                };
                let (x, y) = data[1..].split_at(data.len() / 2);
                let jwk = json!({"use": "sig", "kty": "EC", "kid": id, "crv": curve, "alg": format!("{algorithm:?}"),
                    "x": encode(x), "y": encode(y)});
                Ok(Self { id, algorithm, key: DecodingKey::from_ec_der(data), jwk })
            }
            _ => Err(KeyError::Unusable("it is of another kind".into())),
        }
    }
}

fn unusable(why: impl std::fmt::Display) -> KeyError {
    KeyError::Unusable(why.to_string())
}

fn items(pem: &[u8]) -> Result<Vec<Item>, KeyError> {
    let items: Vec<Item> = rustls_pemfile::read_all(&mut &pem[..]).collect::<Result<_, _>>()?;
    if items.is_empty() { Err(KeyError::NoKey) } else { Ok(items) }
}

/// A private key, and its public part as DER (`SubjectPublicKeyInfo`).
fn private(item: &Item) -> Result<Option<(EncodingKey, Vec<u8>)>, KeyError> {
    match item {
        Item::Pkcs1Key(key) => of_rsa(key.secret_pkcs1_der()).map(Some),
        Item::Sec1Key(key) => of_ec(&pkcs8_of_sec1(key.secret_sec1_der())?).map(Some),
        Item::Pkcs8Key(key) => {
            let der = key.secret_pkcs8_der();
            match RsaKeyPair::from_pkcs8(der) {
                Ok(_) => of_rsa(inner_key(der)?).map(Some),
                Err(_) => of_ec(der).map(Some),
            }
        }
        _ => Ok(None),
    }
}

fn of_rsa(pkcs1: &[u8]) -> Result<(EncodingKey, Vec<u8>), KeyError> {
    let pair = RsaKeyPair::from_der(pkcs1).map_err(unusable)?;
    let algorithm = sequence(&[RSA_ENCRYPTION, &der(0x05, &[])].concat());
    let spki = sequence(&[algorithm, bits(pair.public_key().as_ref())].concat());
    Ok((EncodingKey::from_rsa_der(pkcs1), spki))
}

fn of_ec(pkcs8: &[u8]) -> Result<(EncodingKey, Vec<u8>), KeyError> {
    let random = SystemRandom::new();
    let mut why = String::new();
    for (signing, curve) in [(&ECDSA_P256_SHA256_FIXED_SIGNING, P256), (&ECDSA_P384_SHA384_FIXED_SIGNING, P384)] {
        match EcdsaKeyPair::from_pkcs8(signing, pkcs8, &random) {
            Ok(pair) => {
                let algorithm = sequence(&[EC_PUBLIC_KEY, curve].concat());
                let spki = sequence(&[algorithm, bits(pair.public_key().as_ref())].concat());
                return Ok((EncodingKey::from_ec_der(pkcs8), spki));
            }
            Err(error) => why = error.to_string(),
        }
    }
    Err(KeyError::Unusable(why))
}

// Object identifiers, encoded.
const RSA_ENCRYPTION: &[u8] = &[0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];
const EC_PUBLIC_KEY: &[u8] = &[0x06, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
const P256: &[u8] = &[0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
const P384: &[u8] = &[0x06, 5, 0x2b, 0x81, 4, 0, 34];

/// One value in DER.
fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let mut out = vec![tag];
    match length {
        0..=0x7f => out.push(length as u8),
        _ => {
            let bytes: Vec<u8> = length.to_be_bytes().into_iter().skip_while(|byte| *byte == 0).collect();
            out.push(0x80 | bytes.len() as u8);
            out.extend(bytes);
        }
    }
    out.extend_from_slice(content);
    out
}

fn sequence(content: &[u8]) -> Vec<u8> {
    der(0x30, content)
}

fn bits(content: &[u8]) -> Vec<u8> {
    der(0x03, &[&[0][..], content].concat())
}

/// OpenSSL writes keys on a curve in a form of their own (RFC 5915); they are the same inside of PKCS 8.
fn pkcs8_of_sec1(sec1: &[u8]) -> Result<Vec<u8>, KeyError> {
    let curve = [P256, P384].into_iter().find(|curve| sec1.windows(curve.len()).any(|window| window == *curve));
    let curve = curve.ok_or_else(|| KeyError::Unusable("it is on another curve".into()))?;
    let algorithm = sequence(&[EC_PUBLIC_KEY, curve].concat());
    Ok(sequence(&[der(0x02, &[0]), algorithm, der(0x04, sec1)].concat()))
}

/// What a PKCS 8 document holds: version, algorithm, and this.
fn inner_key(pkcs8: &[u8]) -> Result<&[u8], KeyError> {
    let (_, content) = value(pkcs8)?;
    let (rest, _) = value(content)?;
    let (rest, _) = value(rest)?;
    value(rest).map(|(_, key)| key)
}

/// What follows a value, and its content.
fn value(der: &[u8]) -> Result<(&[u8], &[u8]), KeyError> {
    let cut = || KeyError::Unusable("it is cut off".into());
    let first = usize::from(*der.get(1).ok_or_else(cut)?);
    let (start, length) = match first {
        0..=0x7f => (2, first),
        _ => {
            let count = (first & 0x7f).min(8);
            let bytes = der.get(2..2 + count).ok_or_else(cut)?;
            (2 + count, bytes.iter().fold(0_usize, |length, byte| length << 8 | usize::from(*byte)))
        }
    };
    let end = start.checked_add(length).ok_or_else(cut)?;
    let content = der.get(start..end).ok_or_else(cut)?;
    Ok((&der[end..], content))
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    fn openssl(arguments: &[&str], input: &[u8]) -> Vec<u8> {
        use std::io::Write;
        let mut child = Command::new("openssl")
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "openssl {arguments:?}");
        output.stdout
    }

    /// Keys as people have them, and their public parts as openssl says they are.
    #[test]
    fn keys_of_all_usual_forms_sign_and_verify() {
        let rsa = openssl(&["genrsa", "-traditional", "2048"], b"");
        let ec = openssl(&["ecparam", "-genkey", "-noout", "-name", "prime256v1"], b"");
        let ec384 = openssl(&["ecparam", "-genkey", "-noout", "-name", "secp384r1"], b"");
        let pkcs8 = |key: &[u8]| openssl(&["pkcs8", "-topk8", "-nocrypt"], key);
        for private in [rsa.clone(), pkcs8(&rsa), ec.clone(), pkcs8(&ec), ec384.clone(), pkcs8(&ec384)] {
            let public = openssl(&["pkey", "-pubout"], &private);
            let signing = SigningKey::read(&private).unwrap();
            let verifying = VerifyingKey::read(&public).unwrap().remove(0);
            assert_eq!((&signing.public.id, &signing.public.jwk), (&verifying.id, &verifying.jwk));
            let token = signing.sign(&json!({"exp": 4_000_000_000_i64, "a": "b"})).unwrap();
            let validation = jsonwebtoken::Validation::new(verifying.algorithm);
            let claims = jsonwebtoken::decode::<Value>(&token, &verifying.key, &validation).unwrap().claims;
            assert_eq!(claims["a"], "b");
            assert_eq!(VerifyingKey::read(&private).unwrap().remove(0).id, verifying.id);
        }
        let public = openssl(&["pkey", "-pubout"], &rsa);
        assert!(matches!(SigningKey::read(&public), Err(KeyError::NotPrivate)));
        assert!(matches!(VerifyingKey::read(b"no key"), Err(KeyError::NoKey)));
        let small = openssl(&["genrsa", "-traditional", "512"], b"");
        assert!(matches!(SigningKey::read(&small), Err(KeyError::Unusable(_))));
        for cut in 0..40 {
            assert!(value(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff][..cut.min(6)]).is_err());
        }
    }
}
