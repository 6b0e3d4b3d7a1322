"""What a model attends to: as data and as pictures. Layers and heads count from 1, as in the paper."""
