mod openai;
mod speech;

fn main() {}
