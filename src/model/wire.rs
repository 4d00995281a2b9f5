//! Wire types that many bodies share: bounded texts, numbers, times and lists.

use std::collections::{BTreeMap, HashSet};
use std::hash::Hash;
use std::marker::PhantomData;

use time::{Duration, OffsetDateTime};
use utoipa::openapi::schema::{
    ArrayBuilder, KnownFormat, ObjectBuilder, OneOfBuilder, SchemaFormat, Type,
};
use utoipa::openapi::{RefOr, Schema};

use super::body::{Face, Schemas, Wire};
use super::form::{self, At, Source, wrong_type};
use super::json::Json;
use super::mistake::Fault;
use super::secret::SecretText;

/// Longest secret in characters.
const MOST_SECRET: usize = 64 * 1024;

/// The schema of a string of so many characters.
pub fn text_schema(least: usize, most: usize) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .min_length((least > 0).then_some(least))
        .max_length(Some(most))
}

/// Makes a type that parses itself from a string a wire type.
#[macro_export]
macro_rules! text_wire {
    ($wire:ty $(=> $value:ty)?, $parse:expr, $schema:expr) => {
        impl $crate::model::body::Wire for $wire {
            type Value = $crate::text_wire!(@value $wire $(=> $value)?);

            fn read(
                json: $crate::model::json::Json,
                at: &mut $crate::model::form::At,
            ) -> Option<Self::Value> {
                let text = at.take($crate::model::form::text(json))?;
                at.take($parse(&text))
            }

            fn schema(_: $crate::model::body::Face) -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                $schema.into()
            }
        }
    };
    (@value $wire:ty) => { Self };
    (@value $wire:ty => $value:ty) => { $value };
}

/// A string of so many characters, counted as JSON Schema counts them.
pub struct Text<const LEAST: usize, const MOST: usize>;

impl<const LEAST: usize, const MOST: usize> Wire for Text<LEAST, MOST> {
    type Value = String;

    fn read(json: Json, at: &mut At) -> Option<String> {
        let text = at.take(form::text(json))?;
        at.take(check_length(&text, LEAST, MOST))?;
        Some(text)
    }

    fn schema(_: Face) -> RefOr<Schema> {
        text_schema(LEAST, MOST).into()
    }
}

/// Checks a text's length in characters.
///
/// # Errors
/// `required` for too few, `too-long` for too many.
pub fn check_length(text: &str, least: usize, most: usize) -> Result<(), Fault> {
    // No character takes more than four bytes, so most texts need no counting.
    if text.len() > most && text.chars().count() > most {
        return Err(Fault::new("too-long", format!("at most {most} characters")));
    }
    if text.len() < least {
        return Err(Fault::new("required", "it is empty"));
    }
    Ok(())
}

/// A secret: never shown again.
pub struct Secret;

impl Wire for Secret {
    type Value = SecretText;

    fn read(json: Json, at: &mut At) -> Option<SecretText> {
        let Json::Text(mut text) = json else {
            return at.take(Err(wrong_type("a string", &json)));
        };
        at.take(check_length(&text, 1, MOST_SECRET))?;
        Some(SecretText::new(std::mem::take(&mut *text)))
    }

    fn schema(_: Face) -> RefOr<Schema> {
        text_schema(1, MOST_SECRET)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Password)))
            .write_only(true)
            .into()
    }
}

/// A whole number between two others. It may be written `300.0` or `3e2`: all are one number to JSON.
pub struct Whole<const LEAST: u64, const MOST: u64>;

impl<const LEAST: u64, const MOST: u64> Wire for Whole<LEAST, MOST> {
    type Value = u64;

    fn read(json: Json, at: &mut At) -> Option<u64> {
        let number = match (&json, at.source()) {
            (Json::Number(number), _) => whole(number),
            (Json::Text(digits), Source::Query) => digits.parse().ok(),
            _ => {
                at.report(wrong_type("a whole number", &json));
                return None;
            }
        };
        let within = number.filter(|number| (LEAST..=MOST).contains(number));
        let expected = || Fault::new("out-of-range", format!("expected {LEAST} to {MOST}"));
        at.take(within.ok_or_else(expected))
    }

    fn schema(_: Face) -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::Integer)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
            .minimum(Some(i64::try_from(LEAST).unwrap_or(i64::MAX)))
            .maximum(Some(i64::try_from(MOST).unwrap_or(i64::MAX)))
            .into()
    }
}

/// The whole number that a JSON number is, if it is one that a double holds exactly.
fn whole(number: &serde_json::Number) -> Option<u64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let rounded = || {
        let float = number.as_f64()?;
        let is_whole = float.fract() == 0.0 && (0.0..=EXACT).contains(&float);
        is_whole.then(|| format!("{float:.0}").parse().ok())?
    };
    number.as_u64().or_else(rounded)
}

/// So many seconds.
pub struct Seconds<const MOST: u64>;

impl<const MOST: u64> Wire for Seconds<MOST> {
    type Value = Duration;

    fn read(json: Json, at: &mut At) -> Option<Duration> {
        let seconds = Whole::<1, MOST>::read(json, at)?;
        Some(Duration::seconds(seconds.cast_signed()))
    }

    fn schema(face: Face) -> RefOr<Schema> {
        Whole::<1, MOST>::schema(face)
    }
}

/// The number of a version.
pub struct Long;

impl Wire for Long {
    type Value = i64;

    fn read(json: Json, at: &mut At) -> Option<i64> {
        const MOST: u64 = i64::MAX.cast_unsigned();
        Whole::<1, MOST>::read(json, at).map(u64::cast_signed)
    }

    fn schema(_: Face) -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::Integer)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
            .minimum(Some(1))
            .maximum(Some(i64::MAX))
            .into()
    }
}

impl Wire for bool {
    type Value = Self;

    fn read(json: Json, at: &mut At) -> Option<Self> {
        let expected = || Fault::new("invalid-value", "expected true or false");
        match (json, at.source()) {
            (Json::Bool(value), _) => Some(value),
            (Json::Text(text), Source::Query) => at.take(text.parse().map_err(|_| expected())),
            (other, _) => at.take(Err(wrong_type("true or false", &other))),
        }
    }

    fn schema(_: Face) -> RefOr<Schema> {
        ObjectBuilder::new().schema_type(Type::Boolean).into()
    }
}

text_wire!(
    OffsetDateTime,
    super::time::parse,
    ObjectBuilder::new()
        .schema_type(Type::String)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
);

text_wire!(
    uuid::Uuid,
    parse_id,
    ObjectBuilder::new()
        .schema_type(Type::String)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Uuid)))
);

fn parse_id(text: &str) -> Result<uuid::Uuid, Fault> {
    uuid::Uuid::try_parse(text).map_err(|_| Fault::new("invalid-id", "expected a UUID"))
}

text_wire!(
    std::net::IpAddr,
    parse_address,
    text_schema(2, 45).pattern(Some(r"^[0-9A-Fa-f:.]+$"))
);

fn parse_address(text: &str) -> Result<std::net::IpAddr, Fault> {
    let address: Result<std::net::IpAddr, _> = text.parse();
    address
        .map(|address| address.to_canonical())
        .map_err(|_| Fault::new("invalid-address", "expected an address such as 192.0.2.7"))
}

text_wire!(
    ipnet::IpNet,
    parse_network,
    text_schema(2, 49).pattern(Some(r"^[0-9A-Fa-f:.]+(/[0-9]{1,3})?$"))
);

/// Reads a network in CIDR form, or one address.
fn parse_network(text: &str) -> Result<ipnet::IpNet, Fault> {
    let network = text.parse().ok();
    let address = || parse_address(text).ok().map(ipnet::IpNet::from);
    network
        .or_else(address)
        .map(|network: ipnet::IpNet| network.trunc())
        .ok_or_else(|| Fault::new("invalid-network", "expected a network such as 192.0.2.0/24"))
}

/// A list of so many items; each is read on its own, so that every bad one is reported.
pub struct List<W: ?Sized, const LEAST: usize, const MOST: usize>(PhantomData<W>);

/// A list in which what is named twice is meant once; the order stays.
pub struct Set<W: ?Sized, const LEAST: usize, const MOST: usize>(PhantomData<W>);

/// A list that names nothing twice.
pub struct Distinct<W: ?Sized, const LEAST: usize, const MOST: usize>(PhantomData<W>);

impl<W: Wire + ?Sized, const LEAST: usize, const MOST: usize> Wire for List<W, LEAST, MOST> {
    type Value = Vec<W::Value>;
    const IS_LIST: bool = true;

    fn read(json: Json, at: &mut At) -> Option<Self::Value> {
        let items = match json {
            Json::List(items) => items,
            other => return at.take(Err(wrong_type("an array", &other))),
        };
        if items.len() < LEAST {
            let detail = "expected at least one; leave the list out where it is not meant";
            return at.take(Err(Fault::new("required", detail)));
        }
        // Before anything is looked at: a body has room for half a million.
        if items.len() > MOST {
            return at.take(Err(Fault::new("too-many", format!("at most {MOST}"))));
        }
        let count = items.len();
        let items = items.into_iter().enumerate();
        let values: Self::Value = items
            .filter_map(|(index, item)| at.inside(&index.to_string(), |at| W::read(item, at)))
            .collect();
        Some(values).filter(|values| values.len() == count)
    }

    fn schema(face: Face) -> RefOr<Schema> {
        list_schema::<W>(face, LEAST, MOST).into()
    }

    fn register(face: Face, schemas: &mut Schemas) {
        W::register(of_item(face), schemas);
    }
}

/// A patch replaces a list as a whole, so its items are whole.
fn of_item(face: Face) -> Face {
    match face {
        Face::Patch => Face::Whole,
        other => other,
    }
}

fn list_schema<W: Wire + ?Sized>(face: Face, least: usize, most: usize) -> ArrayBuilder {
    ArrayBuilder::new()
        .items(W::schema(of_item(face)))
        .min_items((least > 0).then_some(least))
        .max_items(Some(most))
}

impl<W: Wire + ?Sized, const LEAST: usize, const MOST: usize> Wire for Set<W, LEAST, MOST>
where
    W::Value: Eq + Hash + Clone,
{
    type Value = Vec<W::Value>;
    const IS_LIST: bool = true;

    fn read(json: Json, at: &mut At) -> Option<Self::Value> {
        let mut values = List::<W, LEAST, MOST>::read(json, at)?;
        let mut seen = HashSet::with_capacity(values.len());
        values.retain(|value| seen.insert(value.clone()));
        Some(values)
    }

    fn schema(face: Face) -> RefOr<Schema> {
        list_schema::<W>(face, LEAST, MOST).into()
    }

    fn register(face: Face, schemas: &mut Schemas) {
        W::register(of_item(face), schemas);
    }
}

impl<W: Wire + ?Sized, const LEAST: usize, const MOST: usize> Wire for Distinct<W, LEAST, MOST>
where
    W::Value: Eq + Hash + Clone,
{
    type Value = Vec<W::Value>;
    const IS_LIST: bool = true;

    fn read(json: Json, at: &mut At) -> Option<Self::Value> {
        let values = List::<W, LEAST, MOST>::read(json, at)?;
        let mut seen = HashSet::with_capacity(values.len());
        for (index, value) in values.iter().enumerate() {
            if !seen.insert(value.clone()) {
                let fault = Fault::new("duplicate", "this is listed twice");
                at.inside(&index.to_string(), |at| at.report(fault));
            }
        }
        Some(values)
    }

    fn schema(face: Face) -> RefOr<Schema> {
        list_schema::<W>(face, LEAST, MOST)
            .unique_items(true)
            .into()
    }

    fn register(face: Face, schemas: &mut Schemas) {
        W::register(of_item(face), schemas);
    }
}

/// A file: as text, or as the JSON object that it holds.
pub struct Content;

impl Wire for Content {
    type Value = Json;

    fn read(json: Json, at: &mut At) -> Option<Json> {
        match json {
            file @ (Json::Text(_) | Json::Object(_)) => Some(file),
            other => at.take(Err(wrong_type("a string or an object", &other))),
        }
    }

    fn schema(_: Face) -> RefOr<Schema> {
        let any = utoipa::openapi::schema::AdditionalProperties::FreeForm(true);
        OneOfBuilder::new()
            .item(ObjectBuilder::new().schema_type(Type::String))
            .item(
                ObjectBuilder::new()
                    .schema_type(Type::Object)
                    .additional_properties(Some(any)),
            )
            .into()
    }
}

/// Annotations of a Kubernetes object.
pub struct Annotations;

/// Reads an object whose names are data; a name that is there twice counts once and is a mistake.
pub fn read_map<T>(
    json: Json,
    at: &mut At,
    mut read: impl FnMut(&str, Json, &mut At) -> Option<T>,
) -> Option<BTreeMap<String, T>> {
    let members = match json {
        Json::Object(members) => members,
        other => return at.take(Err(wrong_type("an object", &other))),
    };
    let mut values = BTreeMap::new();
    let mut seen = HashSet::with_capacity(members.len());
    let members = members.into_iter();
    for (name, value) in members.filter(|(_, value)| !matches!(value, Json::Removed)) {
        at.inside(&name, |at| {
            if !seen.insert(name.clone()) {
                at.report(Fault::new("duplicate-field", "this field is given twice"));
            } else if let Some(value) = read(&name, value, at) {
                values.insert(name.clone(), value);
            }
        });
    }
    Some(values)
}
