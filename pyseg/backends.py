"""What the user may switch for all ops at once.

``allow_winograd4``: atrous_conv2d may use Winograd's F(4,3) outside of training: 1.3 to 1.5 times as fast as
F(2,3), with errors of up to 5e-5 of the largest output instead of 1e-6.
"""

allow_winograd4: bool = False
