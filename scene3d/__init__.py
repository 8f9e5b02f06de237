"""What a table-top scene is: kinds, scenes, batches, the prior, JSON and the compiler to MuJoCo."""
