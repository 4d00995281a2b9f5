//! What is always there in an answer.

use utoipa::openapi::schema::{Object, SchemaType, Type};
use utoipa::openapi::{RefOr, Schema};

/// The schema with each member required that can be `null`: an answer says `null`, it does not leave the member out.
/// Bodies take both, and forbid members that they do not know; that is what tells them here.
pub fn answered(mut schema: RefOr<Schema>) -> RefOr<Schema> {
    match &mut schema {
        RefOr::T(Schema::Object(object)) => require_nullable(object),
        RefOr::T(Schema::AllOf(all)) => {
            for item in &mut all.items {
                if let RefOr::T(Schema::Object(object)) = item {
                    require_nullable(object);
                }
            }
        }
        _ => {}
    }
    schema
}

fn require_nullable(object: &mut Object) {
    if object.additional_properties.is_some() {
        return;
    }
    for (name, schema) in &object.properties {
        if is_nullable(schema) && !object.required.contains(name) {
            object.required.push(name.clone());
        }
    }
}

fn is_nullable(schema: &RefOr<Schema>) -> bool {
    let takes_null = |kind: &SchemaType| match kind {
        SchemaType::Array(kinds) => kinds.contains(&Type::Null),
        SchemaType::Type(kind) => *kind == Type::Null,
        SchemaType::AnyValue => false,
    };
    match schema {
        RefOr::T(Schema::Object(object)) => takes_null(&object.schema_type),
        RefOr::T(Schema::Array(array)) => takes_null(&array.schema_type),
        RefOr::T(Schema::OneOf(choice)) => choice.items.iter().any(is_nullable),
        _ => false,
    }
}
