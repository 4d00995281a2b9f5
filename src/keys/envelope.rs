//! The sealed form of one record.
//!
//! | bytes | what |
//! | --- | --- |
//! | 1 | format, `3` |
//! | 16 | id of the data key |
//! | 32 | salt |
//! | 32 | commitment |
//! | rest | AES-256-GCM ciphertext of the padded plaintext, and its tag of 16 bytes |
//!
//! Each record has a key of its own: HKDF-SHA-256 over the data key, with the random salt. It seals
//! one message, with the nonce 0, so no AES-GCM key comes near its limit of messages, however many
//! records there are; two equal salts of 256 bits will not be seen. The commitment is another output
//! of the same HKDF: AES-GCM alone does not tell a wrong key from changed bytes.
//!
//! The plaintext is its length (4 bytes, big-endian), itself, and zeros up to a multiple of 64, so
//! that a row's size does not tell how long a password is.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hkdf;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::data_key::DataKey;
use super::key_bytes::KeyBytes;
use super::{KeyError, random};

/// Format 1 did not bind the document beside the secret; it was never released.
const FORMAT: u8 = 3;
/// Bound the document alone, and none of the facts beside it. It still opens, and nothing is sealed so any more.
const FORMER: u8 = 2;
const ID: usize = 16;
const SALT: usize = 32;
const COMMITMENT: usize = 32;
const HEAD: usize = 1 + ID + SALT + COMMITMENT;
const TAG: usize = 16;
const PAD_TO: usize = 64;
const LENGTH: usize = 4;

/// Which part of a record is sealed. The numbers are in stored bytes; they never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Field {
    /// A credential's secret.
    Secret = 1,
    /// A credential's auth server's own secret.
    AuthServerSecret = 2,
    /// The stored answer of an idempotent request.
    IdempotentAnswer = 3,
    /// The digest of an idempotent request.
    IdempotentRequest = 4,
    /// The state of a credential: nothing is sealed, but that the state is the one that was written.
    CredentialState = 5,
    /// Where a reader of the audit trail stands.
    AuditCursor = 6,
    /// What the entity tags of a tenant's renderings are keyed with.
    TagKey = 7,
}

/// The place that a record is sealed for. It opens nowhere else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordContext {
    tenant: Option<Uuid>,
    record: Uuid,
    version: u64,
    field: Field,
    document: [u8; 32],
    beside: [u8; 32],
}

impl RecordContext {
    /// A place: the tenant (`None` for the platform), the record's id and version, the field.
    pub fn new(tenant: Option<Uuid>, record: Uuid, version: u64, field: Field) -> Self {
        Self {
            tenant,
            record,
            version,
            field,
            document: [0; 32],
            beside: [0; 32],
        }
    }

    /// The same place, beside a document and other facts in clear: the record opens beside no others. A secret whose
    /// document says another registry, or which is said to be the auth server's too, would be sent there.
    #[must_use]
    pub fn beside(mut self, document: &str, facts: &[u8]) -> Self {
        self.document = sha256(&[document.as_bytes()]);
        let length = (document.len() as u64).to_be_bytes();
        self.beside = sha256(&[&length, document.as_bytes(), facts]);
        self
    }

    /// The tenant whose data keys seal here.
    pub fn tenant(&self) -> Option<Uuid> {
        self.tenant
    }

    /// Associated data. Every part has a fixed length, so no two places have the same bytes:
    /// `regcred-record`, format, scope (0 platform, 1 tenant), tenant, record, version, field, data
    /// key, SHA-256 of what stands beside it (zeros if nothing does).
    fn associated_data(&self, format: u8, data_key: Uuid) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(112);
        bytes.extend_from_slice(b"regcred-record");
        bytes.push(format);
        bytes.push(u8::from(self.tenant.is_some()));
        bytes.extend_from_slice(self.tenant.unwrap_or_default().as_bytes());
        bytes.extend_from_slice(self.record.as_bytes());
        bytes.extend_from_slice(&self.version.to_be_bytes());
        bytes.push(self.field as u8);
        bytes.extend_from_slice(data_key.as_bytes());
        bytes.extend_from_slice(match format {
            FORMER => &self.document,
            _ => &self.beside,
        });
        bytes
    }
}

fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    for part in parts {
        context.update(part);
    }
    let mut digest = [0; 32];
    digest.copy_from_slice(context.finish().as_ref());
    digest
}

/// Whether an envelope has the format that binds the document alone.
pub fn is_former(envelope: &[u8]) -> bool {
    envelope.first() == Some(&FORMER)
}

/// The id of the data key that sealed an envelope.
///
/// # Errors
/// `Format` for bytes that are no envelope.
pub fn data_key_of(envelope: &[u8]) -> Result<Uuid, KeyError> {
    if envelope.len() < HEAD + TAG || ![FORMER, FORMAT].contains(&envelope[0]) {
        return Err(KeyError::Format);
    }
    Uuid::from_slice(&envelope[1..=ID]).map_err(|_| KeyError::Format)
}

struct RecordKeys {
    aead: LessSafeKey,
    commitment: KeyBytes,
}

impl RecordKeys {
    fn derive(data_key: &DataKey, salt: &[u8]) -> Result<Self, KeyError> {
        let root = hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(data_key.bytes());
        let derive = |purpose: &[u8]| {
            KeyBytes::fill(|bytes| {
                root.expand(&[purpose], hkdf::HKDF_SHA256)?
                    .fill(bytes.as_mut_slice())
            })
        };
        let key = derive(b"regcred record key 1")?;
        let commitment = derive(b"regcred record commitment 1")?;
        let aead = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key.as_slice())?);
        Ok(Self { aead, commitment })
    }
}

/// The key is used once, so its nonce need not differ from another's.
fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; 12])
}

/// Seals a record for its place.
///
/// # Errors
/// `Crypto` if the library or the random source fails, or for a record over 4 GiB.
pub fn seal(
    data_key: &DataKey,
    context: &RecordContext,
    plain: &[u8],
) -> Result<Vec<u8>, KeyError> {
    let salt = random::<SALT>()?;
    let keys = RecordKeys::derive(data_key, salt.as_slice())?;
    let mut padded = pad(plain)?;
    let aad = Aad::from(context.associated_data(FORMAT, data_key.id()));
    let tag = keys
        .aead
        .seal_in_place_separate_tag(nonce(), aad, padded.as_mut_slice())?;
    let mut envelope = Vec::with_capacity(HEAD + padded.len() + TAG);
    envelope.push(FORMAT);
    envelope.extend_from_slice(data_key.id().as_bytes());
    envelope.extend_from_slice(salt.as_slice());
    envelope.extend_from_slice(keys.commitment.as_slice());
    envelope.extend_from_slice(&padded);
    envelope.extend_from_slice(tag.as_ref());
    Ok(envelope)
}

/// Opens a record that was sealed for this place.
///
/// # Errors
/// `Format` for other bytes, `WrongKey` for another data key, `Tampered` for changed bytes or another
/// place.
pub fn open(
    data_key: &DataKey,
    context: &RecordContext,
    envelope: &[u8],
) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    if data_key_of(envelope)? != data_key.id() {
        return Err(KeyError::WrongKey);
    }
    let (head, sealed) = envelope.split_at(HEAD);
    let (salt, commitment) = head[1 + ID..].split_at(SALT);
    let keys = RecordKeys::derive(data_key, salt)?;
    verify_slices_are_equal(commitment, keys.commitment.as_slice())
        .map_err(|_| KeyError::WrongKey)?;
    let mut buffer = Zeroizing::new(sealed.to_vec());
    let aad = Aad::from(context.associated_data(envelope[0], data_key.id()));
    let padded = keys
        .aead
        .open_in_place(nonce(), aad, buffer.as_mut_slice())
        .map_err(|_| KeyError::Tampered)?;
    unpad(padded)
}

fn pad(plain: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let length = u32::try_from(plain.len()).map_err(|_| KeyError::Crypto)?;
    let padded_length = (LENGTH + plain.len()).next_multiple_of(PAD_TO);
    let mut padded = Zeroizing::new(Vec::with_capacity(padded_length));
    padded.extend_from_slice(&length.to_be_bytes());
    padded.extend_from_slice(plain);
    padded.resize(padded_length, 0);
    Ok(padded)
}

fn unpad(padded: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let (length, rest) = padded
        .split_first_chunk::<LENGTH>()
        .ok_or(KeyError::Format)?;
    let length = u32::from_be_bytes(*length) as usize;
    let plain = rest.get(..length).ok_or(KeyError::Format)?;
    Ok(Zeroizing::new(plain.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> DataKey {
        DataKey::from_bytes(Uuid::from_u128(u128::from(byte)), bytes(byte))
    }

    fn bytes(byte: u8) -> KeyBytes {
        KeyBytes::copy_of(&[byte; 32]).expect("a key")
    }

    fn place() -> RecordContext {
        let (tenant, record) = (Some(Uuid::from_u128(1)), Uuid::from_u128(2));
        RecordContext::new(tenant, record, 3, Field::Secret).beside("{}", b"facts")
    }

    fn sealed() -> Vec<u8> {
        seal(&key(7), &place(), b"hunter2").expect("sealing works")
    }

    #[test]
    fn a_record_opens_where_it_was_sealed() {
        for length in [0, 1, 59, 60, 61, 64 * 1024] {
            let plain = vec![b'x'; length];
            let envelope = seal(&key(7), &place(), &plain).expect("sealing works");
            let opened = open(&key(7), &place(), &envelope).expect("it opens");
            assert_eq!(opened.as_slice(), plain, "{length}");
        }
    }

    #[test]
    fn a_record_opens_nowhere_else() {
        let envelope = sealed();
        let (tenant, record) = (Some(Uuid::from_u128(1)), Uuid::from_u128(2));
        for other in [
            RecordContext::new(Some(Uuid::from_u128(9)), record, 3, Field::Secret),
            RecordContext::new(None, record, 3, Field::Secret),
            RecordContext::new(tenant, Uuid::from_u128(9), 3, Field::Secret),
            RecordContext::new(tenant, record, 2, Field::Secret),
            RecordContext::new(tenant, record, 4, Field::Secret),
            RecordContext::new(tenant, record, 3, Field::AuthServerSecret),
            RecordContext::new(tenant, record, 3, Field::IdempotentAnswer),
            RecordContext::new(tenant, record, 3, Field::IdempotentRequest),
        ]
        .map(|other| other.beside("{}", b"facts"))
        .into_iter()
        .chain([
            place().beside("{} ", b"facts"),
            place().beside("{}", b"fact"),
            place().beside("{}f", b"acts"),
            RecordContext::new(tenant, record, 3, Field::Secret),
        ]) {
            assert!(
                matches!(open(&key(7), &other, &envelope), Err(KeyError::Tampered)),
                "{other:?}"
            );
        }
    }

    #[test]
    fn the_platform_is_not_the_tenant_with_the_nil_id() {
        let platform = RecordContext::new(None, Uuid::from_u128(2), 3, Field::Secret);
        let nil = RecordContext::new(Some(Uuid::nil()), Uuid::from_u128(2), 3, Field::Secret);
        let envelope = seal(&key(7), &platform, b"x").expect("sealing works");
        assert!(matches!(
            open(&key(7), &nil, &envelope),
            Err(KeyError::Tampered)
        ));
    }

    #[test]
    fn every_flipped_bit_fails() {
        let envelope = sealed();
        for bit in 0..envelope.len() * 8 {
            let mut changed = envelope.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(open(&key(7), &place(), &changed).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn every_truncation_and_extension_fails() {
        let envelope = sealed();
        for length in 0..envelope.len() {
            assert!(
                open(&key(7), &place(), &envelope[..length]).is_err(),
                "{length} bytes"
            );
        }
        for extra in 1..80 {
            let mut longer = envelope.clone();
            longer.extend(std::iter::repeat_n(0, extra));
            assert!(
                open(&key(7), &place(), &longer).is_err(),
                "{extra} more bytes"
            );
        }
    }

    #[test]
    fn a_wrong_key_is_told_from_tampering() {
        let envelope = sealed();
        assert!(matches!(
            open(&key(8), &place(), &envelope),
            Err(KeyError::WrongKey)
        ));
        // Another key under the same id, as after restoring the wrong backup.
        let other = DataKey::from_bytes(key(7).id(), bytes(8));
        assert!(matches!(
            open(&other, &place(), &envelope),
            Err(KeyError::WrongKey)
        ));
        let mut changed = envelope;
        let last = changed.len() - 1;
        changed[last] ^= 1;
        assert!(matches!(
            open(&key(7), &place(), &changed),
            Err(KeyError::Tampered)
        ));
    }

    #[test]
    fn the_size_tells_the_length_only_roughly() {
        let size = |plain: &[u8]| seal(&key(7), &place(), plain).expect("sealing works").len();
        assert_eq!(size(b"a"), size(&[b'a'; 60]));
        assert_ne!(size(&[b'a'; 60]), size(&[b'a'; 61]));
    }

    #[test]
    fn equal_records_look_different() {
        assert_ne!(sealed(), sealed());
    }

    /// Made by another implementation (Python) from `docs/keys.md` alone.
    #[test]
    fn a_stored_envelope_still_opens() {
        let stored = include_str!("known_envelope.hex").trim();
        let bytes: Vec<u8> = (0..stored.len() / 2)
            .map(|at| u8::from_str_radix(&stored[2 * at..2 * at + 2], 16).expect("hexadecimal"))
            .collect();
        let opened = open(&key(7), &place(), &bytes).expect("the format has not drifted");
        assert_eq!(opened.as_slice(), b"known secret");
        assert!(is_former(&bytes) && !is_former(&sealed()));
    }

    /// What was sealed beside a document alone opens beside it whatever else is said, as it did.
    #[test]
    fn a_former_envelope_is_not_taken_for_a_newer_one() {
        let mut envelope = sealed();
        envelope[0] = FORMER;
        assert!(open(&key(7), &place(), &envelope).is_err());
    }
}
