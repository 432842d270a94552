mod speech;

fn main() {}
