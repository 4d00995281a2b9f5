//! What a body is, declared once: the strict reader and the schema of the API's document come from it.
//!
//! A *wire type* ([`Wire`]) is how one value stands in JSON: it reads the value and describes it. Many are the
//! values themselves ([`Name`](super::name::Name), an enumeration); some only bound one ([`Text`], [`Whole`],
//! [`List`]). [`body!`](crate::model::body!) puts them together to an object.

use utoipa::openapi::schema::{
    AdditionalProperties, ObjectBuilder, OneOfBuilder, SchemaType, Type,
};
use utoipa::openapi::{Ref, RefOr, Schema};

use super::form::{At, Form, Source};
use super::json::Json;
use super::mistake::Mistakes;

pub use super::wire::{
    Annotations, Content, Distinct, List, Long, Seconds, Secret, Set, Text, Whole, text_schema,
};

/// Which document a value stands in: its schema differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Face {
    /// A whole body, as PUT and POST take it.
    Whole,
    /// A merge patch (RFC 7396): nothing is required, and `null` removes what can be missing.
    Patch,
    /// An answer.
    Answer,
}

/// Schemas by their names, to be put into the API's document.
pub type Schemas = Vec<(String, RefOr<Schema>)>;

/// How a value stands in JSON.
pub trait Wire {
    /// What it is read as.
    type Value;

    /// Whether a query gives it as a parameter that may stand there several times.
    const IS_LIST: bool = false;

    /// Reads the value; `None` where it has a mistake, which is noted at its place.
    fn read(json: Json, at: &mut At) -> Option<Self::Value>;

    /// Describes the value.
    fn schema(face: Face) -> RefOr<Schema>;

    /// Adds the schemas that the description refers to.
    fn register(_face: Face, _schemas: &mut Schemas) {}
}

/// Whether a field must be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// It must, and cannot be `null`.
    Required,
    /// It may be left out or `null`: then there is none.
    Optional,
    /// It may be left out or `null`: then it has its default, so that there always is one.
    Default,
    /// It may be left out, which keeps what is stored, and cannot be `null`.
    Kept,
}

/// A field of a body, or a parameter of a query.
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// What it is, in words.
    pub doc: String,
    /// Whether it must be there.
    pub presence: Presence,
    /// Whether a query may give it several times.
    pub is_list: bool,
    /// Its description.
    pub schema: fn(Face) -> RefOr<Schema>,
    /// What its description refers to.
    pub register: fn(Face, &mut Schemas),
}

/// Fields that are read together. Declared with [`body!`](crate::model::body!).
pub trait Body: Sized {
    /// The schema's name; empty for the parameters of a query.
    fn name(_face: Face) -> &'static str {
        ""
    }

    /// What it is, in words.
    fn doc() -> String {
        String::new()
    }

    /// An example of the whole body.
    fn example() -> Option<serde_json::Value> {
        None
    }

    /// An example of a merge patch.
    fn patch_example() -> Option<serde_json::Value> {
        None
    }

    /// The fields, in order.
    fn fields() -> Vec<Field>;

    /// Reads the fields, and what there is to say of them together.
    fn read_fields(form: &mut Form) -> Option<Self>;

    /// Reads a whole body.
    ///
    /// # Errors
    /// All mistakes at once.
    fn read(document: Json) -> Result<Self, Mistakes> {
        let mut form = Form::new(document);
        let value = Self::read_fields(&mut form);
        form.finish(value)
    }

    /// Reads the parameters of a query.
    ///
    /// # Errors
    /// All mistakes at once.
    fn read_query(pairs: Vec<(String, String)>) -> Result<Self, Mistakes> {
        let mut form = Form::at(gathered(pairs, &Self::fields()), At::root(Source::Query));
        let value = Self::read_fields(&mut form);
        form.finish(value)
    }
}

/// No fields at all.
impl Body for () {
    fn fields() -> Vec<Field> {
        Vec::new()
    }

    fn read_fields(_form: &mut Form) -> Option<Self> {
        Some(())
    }
}

/// The parameters as an object, those that may be repeated as lists.
fn gathered(pairs: Vec<(String, String)>, fields: &[Field]) -> Json {
    let lists = fields.iter().filter(|field| field.is_list);
    let mut lists: Vec<(String, Vec<Json>)> = lists
        .map(|field| (field.name.to_owned(), Vec::new()))
        .collect();
    let mut members = Vec::new();
    for (name, value) in pairs {
        match lists.iter_mut().find(|(known, _)| *known == name) {
            Some((_, items)) => items.push(Json::text(value)),
            None => members.push((name, Json::text(value))),
        }
    }
    lists.retain(|(_, items)| !items.is_empty());
    let lists = lists
        .into_iter()
        .map(|(name, items)| (name, Json::List(items)));
    members.extend(lists);
    Json::Object(members)
}

/// Reads an object inside of another one.
pub fn read_inner<B: Body>(json: Json, at: &mut At) -> Option<B> {
    let mut form = Form::at(json, std::mem::take(at));
    let is_object = form.is_object();
    let value = B::read_fields(&mut form);
    *at = form.end();
    value.filter(|_| is_object)
}

/// The schema of a body's fields: nothing else may be there. An answer may hold more: it is part of a larger one, or
/// that of a later version.
pub fn object_schema<B: Body>(face: Face) -> RefOr<Schema> {
    let mut object = ObjectBuilder::new()
        .schema_type(Type::Object)
        .description(Some(B::doc()))
        .additional_properties(match face {
            Face::Whole | Face::Patch => Some(AdditionalProperties::FreeForm(false)),
            Face::Answer => None,
        });
    for field in B::fields() {
        let is_nullable = match field.presence {
            Presence::Optional => true,
            Presence::Default => face != Face::Answer,
            Presence::Required | Presence::Kept => false,
        };
        let schema = (field.schema)(face);
        let schema = if is_nullable {
            nullable(schema)
        } else {
            schema
        };
        object = object.property(field.name, described(schema, &field.doc));
        let is_required = match face {
            Face::Whole => field.presence == Presence::Required,
            Face::Patch => false,
            Face::Answer => true,
        };
        if is_required {
            object = object.required(field.name);
        }
    }
    let example = match face {
        Face::Patch => B::patch_example(),
        Face::Whole | Face::Answer => B::example(),
    };
    object.examples(example).into()
}

/// Adds a body's schema, and those of its fields.
pub fn register_object<B: Body>(face: Face, schemas: &mut Schemas) {
    for field in B::fields() {
        (field.register)(face, schemas);
    }
    schemas.push((B::name(face).to_owned(), object_schema::<B>(face)));
}

/// A reference to a schema.
pub fn reference(name: &str) -> RefOr<Schema> {
    RefOr::Ref(Ref::from_schema_name(name))
}

/// The schema with what it is in words.
pub fn described(mut schema: RefOr<Schema>, doc: &str) -> RefOr<Schema> {
    let doc = doc.to_owned();
    match &mut schema {
        RefOr::Ref(reference) => reference.description = doc,
        RefOr::T(Schema::Object(object)) => object.description = Some(doc),
        RefOr::T(Schema::Array(array)) => array.description = Some(doc),
        RefOr::T(Schema::OneOf(choice)) => choice.description = Some(doc),
        RefOr::T(_) => {}
    }
    schema
}

/// The schema, and `null` beside.
pub fn nullable(schema: RefOr<Schema>) -> RefOr<Schema> {
    let with_null = |kind: SchemaType| match kind {
        SchemaType::Type(kind) => SchemaType::from_iter([kind, Type::Null]),
        other => other,
    };
    match schema {
        RefOr::T(Schema::Object(mut object)) => {
            object.schema_type = with_null(object.schema_type);
            RefOr::T(Schema::Object(object))
        }
        RefOr::T(Schema::Array(mut array)) => {
            array.schema_type = with_null(array.schema_type);
            RefOr::T(Schema::Array(array))
        }
        RefOr::T(Schema::OneOf(mut choice)) => {
            choice
                .items
                .push(ObjectBuilder::new().schema_type(Type::Null).into());
            RefOr::T(Schema::OneOf(choice))
        }
        other => OneOfBuilder::new()
            .item(other)
            .item(ObjectBuilder::new().schema_type(Type::Null))
            .into(),
    }
}

/// Lines of a doc comment as text.
pub fn prose(lines: &[&str]) -> String {
    let lines: Vec<&str> = lines.iter().map(|line| line.trim()).collect();
    lines.join(" ")
}

/// Declares the fields of a body: their names, types, presence and texts, once.
///
/// Each field is `name: type [as wire type], presence;`, where the presence is `required` (the type is that of
/// the value), `optional` (an `Option` of it), `default` (its default where it is left out), `secret` or
/// `own_secret` (a [`SecretField`](crate::model::form::SecretField), one that cannot be dropped and one that
/// can), or `flat` (another body, whose fields stand here). Where the rules of an outer body speak of an inner
/// one that has mistakes, the outer field is `partial`, and what the inner one requires is `needed` (an `Option`). `name = "json"` gives the name in JSON where Rust
/// does not allow it.
///
/// `rules(form) {…}` runs after all fields were read; each is a variable, `Some` where it was given and has no
/// mistake. What the rules report is reported together with the rest.
#[macro_export]
macro_rules! body {
    (
        $(#[doc = $doc:expr])* $(#[derive($($derive:ident),* $(,)?)])?
        $vis:vis struct $Body:ident {
            $(whole: $whole:literal;)? $(patch: $patch:literal;)? $(answer: $answer:literal;)?
        }
        fields {
            $(
                $(#[doc = $field_doc:expr])* $(#[serde($($serde:tt)*)])?
                $field:ident $(= $json:literal)? : $ty:ty $(as $wire:ty)?, $presence:ident;
            )*
        }
        $(rules($form:ident) $rules:block)?
        $(example $example:tt)?
        $(patched $patched:tt)?
    ) => {
        $(#[doc = $doc])* $(#[derive($($derive),*)])?
        $vis struct $Body {
            $( $(#[doc = $field_doc])* $(#[serde($($serde)*)])? pub $field: $ty, )*
        }

        impl $Body {
            /// Reads a whole body.
            ///
            /// # Errors
            /// All mistakes at once.
            $vis fn read(
                document: $crate::model::json::Json,
            ) -> Result<Self, $crate::model::mistake::Mistakes> {
                <Self as $crate::model::body::Body>::read(document)
            }
        }

        impl $crate::model::body::Body for $Body {
            fn name(face: $crate::model::body::Face) -> &'static str {
                match face {
                    $( $crate::model::body::Face::Whole => $whole, )?
                    $( $crate::model::body::Face::Patch => $patch, )?
                    $( $crate::model::body::Face::Answer => $answer, )?
                    #[allow(unreachable_patterns, reason = "not every body has every face")]
                    _ => "",
                }
            }

            fn doc() -> String {
                $crate::model::body::prose(&[$($doc),*])
            }

            fn example() -> Option<serde_json::Value> {
                None $(.or_else(|| Some(serde_json::json!($example))))?
            }

            fn patch_example() -> Option<serde_json::Value> {
                None $(.or_else(|| Some(serde_json::json!($patched))))?
            }

            #[allow(clippy::vec_init_then_push, reason = "a flat field brings several")]
            fn fields() -> Vec<$crate::model::body::Field> {
                let mut fields = Vec::new();
                $(
                    $crate::body_field!(@describe $presence fields,
                        $crate::body_field!(@name $field $($json)?),
                        $crate::model::body::prose(&[$($field_doc),*]),
                        $crate::body_field!(@wire $presence $ty $(, $wire)?));
                )*
                fields
            }

            #[allow(unused_mut, reason = "the rules of some bodies change what was read")]
            fn read_fields(form: &mut $crate::model::form::Form) -> Option<Self> {
                $(
                    let mut $field = $crate::body_field!(@read $presence form,
                        $crate::body_field!(@name $field $($json)?),
                        $crate::body_field!(@wire $presence $ty $(, $wire)?));
                )*
                $( let $form = form; $rules )?
                Some(Self { $( $field: $crate::body_field!(@give $presence $field), )* })
            }
        }

        impl $crate::model::body::Wire for $Body {
            type Value = Self;

            fn read(json: $crate::model::json::Json, at: &mut $crate::model::form::At) -> Option<Self> {
                $crate::model::body::read_inner(json, at)
            }

            fn schema(face: $crate::model::body::Face) -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                $crate::model::body::reference(<Self as $crate::model::body::Body>::name(face))
            }

            fn register(face: $crate::model::body::Face, schemas: &mut $crate::model::body::Schemas) {
                $crate::model::body::register_object::<Self>(face, schemas);
            }
        }

        $(
            impl utoipa::PartialSchema for $Body {
                fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                    $crate::model::body::object_schema::<Self>($crate::model::body::Face::Answer)
                }
            }

            impl utoipa::ToSchema for $Body {
                fn name() -> std::borrow::Cow<'static, str> {
                    $answer.into()
                }

                fn schemas(schemas: &mut $crate::model::body::Schemas) {
                    for field in <Self as $crate::model::body::Body>::fields() {
                        (field.register)($crate::model::body::Face::Answer, schemas);
                    }
                }
            }
        )?
    };
}

/// The parts of a field that depend on its presence; for [`body!`](crate::model::body!) alone.
#[doc(hidden)]
#[macro_export]
macro_rules! body_field {
    (@name $field:ident) => { stringify!($field) };
    (@name $field:ident $json:literal) => { $json };

    (@wire $presence:ident $ty:ty, $wire:ty) => { $wire };
    (@wire partial $ty:ty) => { <$ty as $crate::model::body::Inner>::Value };
    (@wire needed $ty:ty) => { <$ty as $crate::model::body::Inner>::Value };
    (@wire optional $ty:ty) => { <$ty as $crate::model::body::Inner>::Value };
    (@wire $presence:ident $ty:ty) => { $ty };

    (@read required $form:ident, $name:expr, $wire:ty) => { $form.required::<$wire>($name) };
    (@read needed $form:ident, $name:expr, $wire:ty) => { $form.required::<$wire>($name) };
    (@read partial $form:ident, $name:expr, $wire:ty) => { $form.partial::<$wire>($name) };
    (@read optional $form:ident, $name:expr, $wire:ty) => { $form.optional::<$wire>($name) };
    (@read default $form:ident, $name:expr, $wire:ty) => { $form.optional::<$wire>($name) };
    (@read secret $form:ident, $name:expr, $wire:ty) => { $form.secret::<$wire>($name) };
    (@read own_secret $form:ident, $name:expr, $wire:ty) => { $form.secret::<$wire>($name) };
    (@read flat $form:ident, $name:expr, $wire:ty) => {
        <$wire as $crate::model::body::Body>::read_fields($form)
    };

    (@give required $field:ident) => { $field? };
    (@give needed $field:ident) => { $field };
    (@give partial $field:ident) => { $field };
    (@give optional $field:ident) => { $field };
    (@give default $field:ident) => { $field.unwrap_or_default() };
    (@give secret $field:ident) => { $field };
    (@give own_secret $field:ident) => { $field };
    (@give flat $field:ident) => { $field? };

    (@describe flat $fields:ident, $name:expr, $doc:expr, $wire:ty) => {
        $fields.extend(<$wire as $crate::model::body::Body>::fields())
    };
    (@describe $presence:ident $fields:ident, $name:expr, $doc:expr, $wire:ty) => {
        $fields.push($crate::model::body::Field {
            name: $name,
            doc: $doc,
            presence: $crate::body_field!(@presence $presence),
            is_list: <$wire as $crate::model::body::Wire>::IS_LIST,
            schema: <$wire as $crate::model::body::Wire>::schema,
            register: <$wire as $crate::model::body::Wire>::register,
        })
    };

    (@presence needed) => { $crate::model::body::Presence::Required };
    (@presence required) => { $crate::model::body::Presence::Required };
    (@presence default) => { $crate::model::body::Presence::Default };
    (@presence secret) => { $crate::model::body::Presence::Kept };
    (@presence $other:ident) => { $crate::model::body::Presence::Optional };
}

/// The type inside of an `Option`.
pub trait Inner {
    /// It.
    type Value;
}

impl<T> Inner for Option<T> {
    type Value = T;
}

pub use crate::body;
