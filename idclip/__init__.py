"""The models of vidsearch: pictures, texts and faces to vectors. Importing this loads no torch."""
