"""Images decoded as they are asked for.

`folder_images` is a set of image files, of which few are kept in memory; `decoder_processes` do the
work beside the training, and none of them is waited for without end.
"""
