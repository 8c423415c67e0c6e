# Everything of this root is known to moto.
