"""The person search benchmarks and captioned folders, as rows of image, person and caption."""
