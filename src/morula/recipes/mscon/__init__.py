"""Recipe mscon: multiscale consistency between two views of an unlabelled volume, then affinities."""
