//! Values that cannot be invalid once made. They know nothing of HTTP, SQL or the network.

pub mod account;
pub mod body;
pub mod credential;
pub mod form;
pub mod host_pattern;
pub mod image_name;
pub mod json;
pub mod labels;
pub mod mistake;
pub mod name;
pub mod oddity;
pub mod pull_secret;
pub mod pulled_image;
pub mod registry_path;
pub mod resource;
pub mod secret;
pub mod severity;
pub mod spelled;
pub mod tenant;
pub mod time;
mod web_page;
pub mod wire;
