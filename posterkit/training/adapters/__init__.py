"""What a stage needs to know of a model family: encode, noise, predict, save. One adapter each."""
